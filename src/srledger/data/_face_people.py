"""Who is drawn and how: people (what stays the same) and looks (what changes from image to image)."""

from __future__ import annotations

import dataclasses

import numpy as np

SKIN = np.array(
    [(247, 214, 194), (238, 195, 168), (224, 172, 138), (204, 150, 112), (178, 124, 86), (142, 93, 62), (105, 67, 45)]
)
HAIR = {
    "black": (22, 19, 19), "dark": (46, 32, 24), "brown": (84, 56, 36), "chestnut": (116, 70, 40), "red": (156, 74, 36),
    "blond": (188, 150, 98), "light": (222, 192, 142), "grey": (150, 147, 144), "white": (212, 208, 202),
}  # fmt: skip
EYES = {
    "brown": (84, 54, 30), "dark": (48, 31, 22), "hazel": (122, 94, 52), "green": (92, 116, 78),
    "blue": (92, 132, 168), "grey": (124, 136, 144),
}  # fmt: skip


def linear(srgb: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """8-bit sRGB to linear light in [0, 1] (IEC 61966-2-1), float32."""
    value = np.asarray(srgb, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Identity:
    """What stays the same in every image. Lengths in IOD (distance between the eyes), colours in linear light."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    darkness: float  # of the skin, 0 light ... 1 dark
    cheek: float  # half width of the head at the cheekbones
    temple: float
    chin: float  # v of the chin
    jaw: float  # exponent: 1.8 pointed ... 3 square
    taper: float
    depth: float  # of the head
    nose_length: float
    nose_width: float
    nose_height: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    eye_fold: float
    brow_height: float
    brow_thick: float
    brow_arch: float
    mouth_v: float
    mouth_half: float
    lip_upper: float
    lip_lower: float
    lip_red: float
    hair_style: str  # short, side, bangs, long, curly, bald
    hair_line: float
    hair_volume: float
    hair_part: float
    hair_wave: float
    beard: float  # 0 none ... 1 full
    stubble: float
    moustache: float
    freckles: float
    age: float
    glasses: str  # none, round, square
    marks: np.ndarray  # k x 3: u, v, size of moles
    texture: int  # offset into the noise tables


@dataclasses.dataclass(frozen=True)
class Look:
    """What changes between the images of a person: pose in radians, expression, light, clothes, background."""

    yaw: float
    pitch: float
    roll: float
    zoom: float
    shift: np.ndarray
    smile: float
    mouth_open: float
    brow_raise: float
    squint: float
    gaze: np.ndarray
    light: np.ndarray
    strength: float
    ambient: float
    warmth: np.ndarray
    wears_glasses: bool
    cloth: np.ndarray
    cloth_kind: str  # plain, stripes, knit, collar
    backdrop: np.ndarray  # 2 x 3
    backdrop_kind: str  # gradient, bokeh, wall, blinds
    texture: int


def _pick(rng: np.random.Generator, names: list[str], weights: list[float]) -> str:
    return str(rng.choice(names, p=np.array(weights) / np.sum(weights)))


def draw_identity(rng: np.random.Generator) -> Identity:
    """A person. Hair and eye colours go with the skin; beards and long hair tend to exclude each other."""
    darkness = float(rng.beta(1.1, 1.4))
    position = darkness * (len(SKIN) - 1)
    skin = np.array([np.interp(position, np.arange(len(SKIN)), SKIN[:, c]) for c in range(3)])
    skin = np.clip(skin + rng.normal(0, 4, 3), 30, 252)
    fair = max(0.0, 1 - 1.8 * darkness)
    age = float(rng.beta(1.3, 2.2))
    old = max(0.0, age - 0.55) * 6
    hair = _pick(
        rng, list(HAIR), [1.0, 1.4, 1 * fair + 0.3, 0.7 * fair, 0.4 * fair, 0.8 * fair, 0.5 * fair, old, 0.5 * old]
    )
    iris = _pick(rng, list(EYES), [1.5, 0.6 + 2 * darkness, 0.6 * fair, 0.5 * fair, 1.2 * fair, 0.5 * fair])
    masculine = float(rng.beta(0.6, 0.6))
    style = _pick(
        rng,
        ["short", "side", "bangs", "long", "curly", "bald"],
        [
            0.3 + 1.3 * masculine,
            0.6,
            0.2 + 0.7 * (1 - masculine),
            2.4 * (1 - masculine),
            0.3 + 0.7 * darkness,
            0.35 * masculine,
        ],
    )
    bearded = masculine > 0.6 and rng.random() < 0.5
    uniform = rng.uniform
    return Identity(
        skin=linear(skin),
        hair=linear(np.array(HAIR[hair]) * uniform(0.85, 1.15)),
        iris=linear(np.array(EYES[iris]) * uniform(0.9, 1.1)),
        darkness=darkness,
        cheek=uniform(1.02, 1.16),
        temple=uniform(1.0, 1.1),
        chin=uniform(1.52, 1.72) + 0.06 * masculine,
        jaw=uniform(1.85, 2.15) + 0.45 * masculine,
        taper=uniform(0.1, 0.3) * (1.3 - masculine),
        depth=uniform(0.9, 1.05),
        nose_length=uniform(0.56, 0.66),
        nose_width=uniform(0.19, 0.26) + 0.04 * darkness,
        nose_height=uniform(0.26, 0.38),
        eye_width=uniform(0.215, 0.25),
        eye_open=uniform(0.088, 0.125),
        eye_tilt=uniform(-0.06, 0.16),
        eye_fold=uniform(0.0, 1.0),
        brow_height=uniform(0.27, 0.35),
        brow_thick=uniform(0.03, 0.055) + 0.02 * masculine,
        brow_arch=uniform(0.02, 0.1),
        mouth_v=uniform(1.0, 1.08),
        mouth_half=uniform(0.38, 0.47),
        lip_upper=uniform(0.05, 0.1),
        lip_lower=uniform(0.08, 0.13),
        lip_red=uniform(0.15, 1.1) * (1.1 - 0.5 * masculine),
        hair_style=style,
        hair_line=uniform(-1.08, -0.82) - 0.1 * age * masculine,
        hair_volume=uniform(0.12, 0.34),
        hair_part=uniform(-0.55, 0.55),
        hair_wave=uniform(0, 1),
        beard=uniform(0.6, 1) if bearded else 0.0,
        stubble=uniform(0, 0.6) if masculine > 0.5 else 0.0,
        moustache=uniform(0.5, 1) if bearded or (masculine > 0.75 and rng.random() < 0.2) else 0.0,
        freckles=uniform(0.3, 1) if fair > 0.4 and rng.random() < 0.3 else 0.0,
        age=age,
        glasses=_pick(rng, ["none", "round", "square"], [3, 0.5, 0.5]),
        marks=_draw_marks(rng),
        texture=int(rng.integers(1 << 16)),
    )


def _draw_marks(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(0, 4))
    return np.stack(
        [rng.uniform(-0.8, 0.8, count), rng.uniform(-0.4, 1.3, count), rng.uniform(0.012, 0.026, count)], axis=1
    )


def draw_look(rng: np.random.Generator, pose_deg: float) -> Look:
    """One image's pose (standard deviation of yaw in degrees), expression, light, clothes and background."""
    uniform = rng.uniform
    side = uniform(-1, 1)
    light = np.array([1.1 * side, -uniform(0.1, 0.8), uniform(0.7, 1.2)])
    smile = float(np.clip(rng.normal(0.35, 0.4), -0.35, 1))
    warm = uniform(-0.09, 0.09)
    hue = uniform(20, 235, 3)
    backdrop = np.clip(rng.uniform(15, 235) + rng.normal(0, 30, (2, 3)) + rng.normal(0, 30, (2, 1)), 8, 245)
    return Look(
        yaw=float(np.clip(rng.normal(0, np.deg2rad(pose_deg)), -0.32, 0.32)),
        pitch=float(np.clip(rng.normal(0, np.deg2rad(0.5 * pose_deg)), -0.16, 0.16)),
        roll=float(rng.normal(0, np.deg2rad(2.0))),
        zoom=float(rng.normal(1, 0.02)),
        shift=rng.normal(0, 0.006, 2),
        smile=smile,
        mouth_open=float(np.clip(rng.normal(0.15 + 0.5 * smile, 0.3), 0, 1)),
        brow_raise=float(rng.normal(0, 0.025)),
        squint=float(np.clip(0.35 * smile + rng.normal(0, 0.12), -0.15, 0.5)),
        gaze=rng.normal(0, [0.03, 0.012]),
        light=light / np.linalg.norm(light),
        strength=uniform(0.75, 1.15),
        ambient=uniform(0.22, 0.42),
        warmth=np.array([1 + warm, 1, 1 - warm]),
        wears_glasses=bool(rng.random() < 0.75),
        cloth=linear(0.6 * hue + 0.4 * hue.mean()),
        cloth_kind=_pick(rng, ["plain", "stripes", "knit", "collar"], [1, 1, 1, 1.4]),
        backdrop=linear(backdrop),
        backdrop_kind=_pick(rng, ["gradient", "bokeh", "wall", "blinds"], [1, 1.4, 1, 0.6]),
        texture=int(rng.integers(1 << 16)),
    )
