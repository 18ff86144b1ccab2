"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, attributes = {}) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const options = (select, entries) => {
    select.replaceChildren(...entries.map(([value, text]) => make("option", text, { value })));
  };

  // Sorting. Empty cells stay last either way; equal cells keep their order.
  const sortBy = (table, index, ascending) => {
    const key = (row) => {
      const cell = row.cells[index];
      return cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v === "" ? null : Number(cell.dataset.v);
    };
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" ? x - y : x < y ? -1 : Number(x > y);
      return ascending ? order : -order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    [...table.tHead.rows[0].cells].forEach((cell, k) => {
      if (k === index) cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    });
  };
  const makeSortable = (table) => [...table.tHead.rows[0].cells].forEach((cell, index) => {
    const button = make("button", undefined, { type: "button" });
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => sortBy(table, index, cell.getAttribute("aria-sort") === "descending"));
  });
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(#ledger-details)").forEach((part) => { part.open = true; }));

  // What follows belongs to the results page.
  if (!byId("report-data")) return;
  const reportData = JSON.parse(byId("report-data").textContent);

  // Provenance: a line of the ledger in a dialog.
  const dialog = byId("provenance");
  const heads = [...document.querySelectorAll(".ledger thead th")].map((cell) => cell.textContent);
  const protocols = new Map([...document.querySelectorAll(".protocols dt")].map((term) => [term.textContent.split(" ")[0], term.nextElementSibling.textContent]));
  const showProvenance = (line) => {
    const name = line.cells[0].textContent;
    byId("provenance-title").textContent = name;
    const list = dialog.querySelector("dl");
    list.replaceChildren();
    const add = (term, text) => text && list.append(make("dt", term), make("dd", text));
    heads.forEach((head, k) => k && add(head, line.cells[k].title || line.cells[k].textContent));
    add("protocol", protocols.get(name.split("/")[0]));
    dialog.querySelector("code").textContent = `srledger explain ${name}`;
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#cell-"]');
    if (link) {
      event.preventDefault();
      showProvenance(byId(link.hash.slice(1)));
    } else if (event.target === dialog) dialog.close();
  });

  // Pictures: the images of the strips are the only copy; everything here reads their addresses.
  const strips = [...document.querySelectorAll(".strip")];
  let showImage = () => false;
  if (strips.length) {
    const [pick, left, right, stage, slider, lens] = ["pick-image", "pick-left", "pick-right", "stage", "position", "lens"].map(byId);
    const images = () => [...strips[pick.value].querySelectorAll("img")];
    const named = (name) => images().find((image) => image.dataset.name === name);
    const measure = () => named("HR") ?? named("LR"); // where there is no HR image, LR has the size of all
    const centre = { x: 0.5, y: 0.5 };
    const SHARE = 0.25;
    options(pick, strips.map((strip, k) => [k, `${strip.dataset.task} / ${strip.dataset.image}`]));

    const drawCrop = (canvas, image, reference) => {
      const side = Math.max(4, Math.round(SHARE * Math.min(reference.naturalWidth, reference.naturalHeight)));
      const ratio = image.naturalWidth / reference.naturalWidth;
      const x = Math.round(centre.x * reference.naturalWidth - side / 2);
      const y = Math.round(centre.y * reference.naturalHeight - side / 2);
      canvas.width = canvas.height = side;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.imageSmoothingEnabled = false;
      context.drawImage(image, x * ratio, y * ratio, side * ratio, side * ratio, 0, 0, side, side);
      return context;
    };
    const drawCrops = () => {
      const reference = measure();
      const showError = byId("show-error").checked;
      images().forEach((image, k) => {
        const canvas = byId("crops").children[k].firstElementChild;
        const context = drawCrop(canvas, image, reference);
        if (!showError || !named("HR") || image === reference || image.dataset.name === "LR") return;
        const ours = context.getImageData(0, 0, canvas.width, canvas.height);
        const theirs = drawCrop(document.createElement("canvas"), reference, reference).getImageData(0, 0, canvas.width, canvas.height);
        for (let p = 0; p < ours.data.length; p += 4) {
          let error = 0;
          for (let c = 0; c < 3; c += 1) error += 4 * Math.abs(ours.data[p + c] - theirs.data[p + c]);
          for (let c = 0; c < 3; c += 1) ours.data[p + c] = Math.min(255, Math.max(0, error - 255 * c));
        }
        context.putImageData(ours, 0, 0);
      });
      lens.style.cssText = `width:${100 * SHARE}%;height:${100 * SHARE}%;left:${100 * (centre.x - SHARE / 2)}%;top:${100 * (centre.y - SHARE / 2)}%`;
    };
    const moveLens = (x, y) => {
      centre.x = Math.min(1 - SHARE / 2, Math.max(SHARE / 2, x));
      centre.y = Math.min(1 - SHARE / 2, Math.max(SHARE / 2, y));
      drawCrops();
    };
    const drawStage = () => {
      for (const [side, select] of [["left", left], ["right", right]]) {
        const image = named(select.value);
        byId(`stage-${side}`).src = image.src;
        byId(`stage-${side}`).alt = image.alt;
        byId(`tag-${side}`).textContent = select.value;
      }
      byId("stage-left").style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
      byId("divider").style.left = `${slider.value}%`;
    };
    const drawPicture = () => {
      const names = images().map((image) => image.dataset.name);
      const kept = [left.value, right.value];
      for (const select of [left, right]) options(select, names.map((name) => [name, name]));
      left.value = names.includes(kept[0]) ? kept[0] : names[names.includes("HR") ? 1 : 0];
      right.value = names.includes(kept[1]) ? kept[1] : names.at(-1);
      byId("crops").replaceChildren(...names.map((name) => {
        const figure = make("figure");
        figure.append(make("canvas", undefined, { role: "img", "aria-label": `zoom: ${name}` }), make("figcaption", name));
        return figure;
      }));
      byId("stage-right").style.aspectRatio = `${measure().naturalWidth} / ${measure().naturalHeight}`;
      drawStage();
      moveLens(Number(strips[pick.value].dataset.x), Number(strips[pick.value].dataset.y));
    };
    const place = (event) => {
      const box = stage.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    const onPointer = (event) => {
      const [x, y] = place(event);
      if (event.buttons) {
        slider.value = Math.round(100 * Math.min(1, Math.max(0, x)));
        drawStage();
      }
      moveLens(x, y);
    };
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); onPointer(event); });
    stage.addEventListener("pointermove", onPointer);
    stage.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      moveLens(centre.x + 0.04 * move[0], centre.y + 0.04 * move[1]);
    });
    pick.addEventListener("change", drawPicture);
    for (const control of [left, right, slider]) control.addEventListener("input", drawStage);
    byId("show-error").addEventListener("change", drawCrops);
    Promise.all([...document.querySelectorAll(".strip img")].map((image) => image.decode())).then(drawPicture);
    showImage = (task, image) => {
      const found = strips.findIndex((strip) => strip.dataset.task === task && strip.dataset.image === image);
      if (found < 0) return false;
      pick.value = found;
      drawPicture();
      byId("pictures").scrollIntoView();
      return true;
    };
  }

  // Worst images.
  const [worstTable, worstMetric, worstRow, worstAll] = ["worst-table", "worst-metric", "worst-row", "worst-all"].map(byId);
  const FIRST = 20;
  let showAll = false;
  const drawWorst = () => {
    const table = reportData.tables[worstTable.value];
    const metric = table.metrics[worstMetric.value];
    const rows = table.rows.filter((row) => metric.rows[row]);
    const chosen = metric.rows[worstRow.value] ? worstRow.value : rows.at(-1);
    if (chosen !== worstRow.value) worstRow.value = chosen;
    const sign = metric.higher ? 1 : -1;
    const order = table.images.map((_, k) => k).filter((k) => metric.rows[chosen][k] !== null);
    order.sort((a, b) => sign * (metric.rows[chosen][a] - metric.rows[chosen][b]) || a - b);
    const shown = showAll ? order : order.slice(0, FIRST);
    const target = byId("worst-values");
    const head = make("tr");
    head.append(...["image", ...rows].map((text) => make("th", text, { scope: "col" })));
    target.tHead.replaceChildren(head);
    target.tBodies[0].replaceChildren(...shown.map((k) => {
      const line = make("tr");
      const name = make("th", undefined, { scope: "row" });
      const hasPicture = strips.some((strip) => strip.dataset.task === table.task && strip.dataset.image === table.images[k]);
      name.append(hasPicture ? make("a", table.images[k], { href: "#pictures" }) : table.images[k]);
      if (hasPicture) name.firstChild.addEventListener("click", (event) => { event.preventDefault(); showImage(table.task, table.images[k]); });
      const values = rows.map((row) => metric.rows[row][k]);
      const present = values.filter((value) => value !== null);
      const worst = metric.higher ? Math.min(...present) : Math.max(...present);
      line.append(name, ...values.map((value) => {
        const cell = make("td", value === null ? "" : value.toFixed(metric.digits).replace("-", "\u2212"), { "data-v": value ?? "" });
        if (value === worst && rows.length > 1) cell.className = "worst";
        return cell;
      }));
      return line;
    }));
    makeSortable(target);
    worstAll.hidden = order.length <= FIRST;
    worstAll.textContent = showAll ? `Show the ${FIRST} worst` : `Show all ${order.length} images`;
  };
  const chooseTable = () => {
    const table = reportData.tables[worstTable.value];
    options(worstMetric, table.metrics.map((metric, k) => [k, metric.label]));
    options(worstRow, table.rows.map((row) => [row, row]));
    worstRow.value = table.rows.at(-1);
    drawWorst();
  };
  if (reportData.order.length) {
    options(worstTable, reportData.order.map((name) => [name, name]));
    worstTable.addEventListener("change", chooseTable);
    for (const select of [worstMetric, worstRow]) select.addEventListener("change", drawWorst);
    worstAll.addEventListener("click", () => { showAll = !showAll; drawWorst(); });
    chooseTable();
  }
})();
