// The leaderboard's table, filters and pages of submissions.
//
// Data come from files that call `hepchallenge.take(name, value)`: scripts load from a disk, where fetching
// is not allowed. Whatever is shown is set as text, never as markup.
(function () {
  "use strict";

  const PAGE = 100;
  const KEY = 16; // digits of a digest in an address
  const FIGURE_SPACE = "\u2007";
  const waiting = new Map();
  const taken = new Map();

  window.hepchallenge = {
    take(name, value) {
      taken.set(name, value);
      if (name === "head") start(value);
    },
  };

  function load(name, file) {
    if (taken.has(name)) return Promise.resolve(taken.get(name));
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `${folder}/data/${file}.js`;
        script.onload = () => (taken.has(name) ? resolve(taken.get(name)) : reject(new Error(file)));
        script.onerror = () => { waiting.delete(name); reject(new Error(file)); };
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  }

  const folder = document.currentScript.getAttribute("src").split("/")[0];
  const $ = (id) => document.getElementById(id);

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  }

  // Words ---------------------------------------------------------------------------------------------

  // toFixed rounds a tie up; the rest of the package goes to the even digit.
  function fixed(value, digits) {
    // A score of 1e308 would fill the page.
    if (Math.abs(value) >= 1e15) return (value < 0 ? "\u2212" : "") + Math.abs(value).toExponential(5);
    let text = Math.abs(value).toFixed(digits);
    const scaled = Math.abs(value) * 10 ** digits;
    const below = Math.floor(scaled);
    if (scaled - below === 0.5 && scaled / 10 ** digits === Math.abs(value) && below % 2 === 0) {
      text = (below / 10 ** digits).toFixed(digits);
    }
    return value < 0 && Number(text) !== 0 ? "\u2212" + text : text;
  }

  function grouped(value) {
    const digits = String(Math.abs(value));
    const text = digits.length > 4 ? digits.replace(/\B(?=(\d{3})+$)/g, "\u202f") : digits;
    return value < 0 ? "\u2212" + text : text;
  }

  const errorText = (error, digits) => ` ± ${fixed(error, digits + 1)}`;

  const WORDS = {
    range: (c) => (c[0] === c[1] ? String(c[0]) : `${c[0]}–${c[1]}`),
    tie: (c) => `tied, group ${c}`,
    chance: (c) => `${fixed(100 * c, 0)} %`,
    move: (c) => (c > 0 ? `▲ ${c}` : c < 0 ? `▼ ${-c}` : "="),
    name: (c) => c.join(" "),
    score: (c, column) => fixed(c[0], column.digits) + (c.length > 1 ? errorText(c[1], column.digits) : "").padEnd(column.pad, FIGURE_SPACE),
    seconds: (c) => fixed(c, 1),
    memory: (c) => fixed(c / 1024 ** 2, 0),
    time: (c) => c.slice(0, 16).replace("T", " "),
    verdict: (c) => c.replaceAll("_", " "),
    count: grouped,
  };

  function words(column, cell) {
    if (cell === null) return column.kind === "rank" ? "–" : "";
    return WORDS[column.kind] ? WORDS[column.kind](cell, column) : String(cell);
  }

  const quantity = (kind, value) =>
    value === null ? "" : kind === "memory" ? `${fixed(value / 1024 ** 2, 0)} MiB` : `${fixed(value, 1)} s`;

  // What a column is sorted by.
  function sortable(column, cell) {
    if (cell === null) return null;
    if (column.kind === "range") return cell[0] * 1e7 + cell[1];
    return Array.isArray(cell) ? cell[0] : cell;
  }

  // Text is sorted without regard to case, numbers within it by value.
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // For plain text a key that compares as the collator does: asking it two million times takes seconds.
  const SIGNS = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at)).sort(collator.compare);
  const SIGN = new Map();
  SIGNS.forEach((sign, at) => {
    const same = at > 0 && collator.compare(SIGNS[at - 1], sign) === 0;
    SIGN.set(sign, same ? SIGN.get(SIGNS[at - 1]) : String.fromCharCode(32 + at));
  });
  const PIECES = /0*(\d+)|[^]/g;
  // Of numbers the longer one is larger.
  const plainKey = (text) =>
    text.replace(PIECES, (piece, digits) => (digits === undefined ? SIGN.get(piece) : SIGN.get("0") + String.fromCharCode(digits.length) + digits));

  // By text its place among all, equal for what is equal to a reader; null has none.
  function placesOf(one, texts) {
    const known = [...new Set(texts)].filter((text) => text !== null);
    // Times are written so that they sort as they are.
    const key = one.kind === "time" ? (text) => text : known.every((text) => /^[ -~]*$/.test(text)) ? plainKey : null;
    if (key !== null) {
      const keys = known.map(key);
      const places = new Map([...new Set(keys)].sort().map((of, place) => [of, place]));
      return new Map(known.map((text, at) => [text, places.get(keys[at])]));
    }
    known.sort(collator.compare);
    const places = new Map();
    known.forEach((text, at) => {
      const same = at > 0 && collator.compare(known[at - 1], text) === 0;
      places.set(text, same ? places.get(known[at - 1]) : at);
    });
    return places;
  }

  // Of each row the number that a column is sorted by; NaN where there is nothing to sort by.
  let numbered = { rows: null, columns: new Map() };
  function numbersOf(one, at) {
    if (numbered.rows !== rows) numbered = { rows, columns: new Map() };
    if (!numbered.columns.has(one.key)) {
      const keys = rows.map(([, cells]) => sortable(one, cells[at]));
      const isText = keys.some((key) => typeof key === "string");
      const places = isText ? placesOf(one, keys) : null;
      numbered.columns.set(one.key, Float64Array.from(keys, (key) => (key === null ? NaN : isText ? places.get(key) : key)));
    }
    return numbered.columns.get(one.key);
  }

  // State ---------------------------------------------------------------------------------------------

  let head = null;
  let board = null; // the board that is shown, of head.boards
  let rows = []; // its rows: [key, [cells]]
  let order = []; // numbers of the rows that pass the filter, in the order of the table
  let turn = 0;
  let sorting = { key: "rank", down: false };
  let complete = Promise.resolve();
  const wantedColumns = new Map(); // by key, whether the reader wants a column

  const NUMBERS = new Set(["rank", "range", "chance", "move", "score", "count", "seconds", "memory"]);
  const classes = (one) => `${NUMBERS.has(one.kind) ? "number " : ""}kind-${one.kind}`;
  const column = (key) => board.columns.findIndex((one) => one.key === key);
  const isShown = (one) => wantedColumns.get(one.key) ?? one.shown;

  function start(value) {
    head = value;
    const verdicts = $("verdict");
    for (const verdict of head.verdicts) verdicts.append(make("option", { value: verdict }, verdict.replaceAll("_", " ")));
    $("filter").addEventListener("input", () => { turn = 0; arrange(); });
    verdicts.addEventListener("change", () => { turn = 0; arrange(); });
    $("pager").addEventListener("click", (event) => {
      const last = Math.max(0, Math.ceil(order.length / PAGE) - 1);
      const to = { first: 0, back: turn - 1, on: turn + 1, last }[event.target.dataset.turn];
      if (to === undefined) return;
      turn = Math.min(last, Math.max(0, to));
      draw();
    });
    for (const button of document.querySelectorAll("[data-choose]")) {
      button.addEventListener("click", () => choose(button.dataset.choose));
    }
    window.addEventListener("hashchange", route);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && $("choose").open) { $("choose").open = false; $("choose").querySelector("summary").focus(); }
    });
    document.addEventListener("click", (event) => {
      if ($("choose").open && !$("choose").contains(event.target)) $("choose").open = false;
    });
    choose(head.boards[0].key);
    route();
  }

  function choose(key) {
    board = head.boards.find((one) => one.key === key);
    for (const element of document.querySelectorAll("[data-board]")) element.hidden = element.dataset.board !== key;
    for (const button of document.querySelectorAll("[data-choose]")) {
      button.setAttribute("aria-pressed", String(button.dataset.choose === key));
    }
    $("caption").textContent = board.caption;
    const left = $("left-out");
    if (left) left.hidden = true;
    sorting = { key: "rank", down: false };
    turn = 0;
    rows = [];
    fillChoices();
    const mine = board;
    complete = (async () => {
      for (let number = 0; number < mine.chunks; number += 1) {
        const chunk = await load(`rows ${mine.key} ${number}`, `rows-${mine.key}-${number}`);
        if (board !== mine) return;
        rows = rows.concat(chunk);
        // The first rows are those on the first page; the rest come while it is read.
        if (number === 0 || number === mine.chunks - 1) arrange();
        else tell();
      }
    })();
    complete.catch((error) => { $("count").textContent = `${error.message} could not be loaded.`; });
  }

  function fillChoices() {
    const fieldset = $("choose").querySelector("fieldset");
    for (const old of fieldset.querySelectorAll("label")) old.remove();
    board.columns.forEach((one) => {
      // Names stay: a row without one says nothing.
      if (one.key === "rank" || one.key === "name") return;
      const box = make("input", { type: "checkbox" });
      box.checked = isShown(one);
      box.addEventListener("change", () => { wantedColumns.set(one.key, box.checked); draw(); });
      fieldset.append(make("label", {}, box, one.label));
    });
  }

  // The table -----------------------------------------------------------------------------------------

  function arrange() {
    const wanted = $("filter").value.trim().toLowerCase();
    const verdict = $("verdict").value;
    const verdictAt = column("verdict");
    const where = [column("name"), column("team"), verdictAt].filter((at) => at >= 0);
    order = [];
    rows.forEach(([, cells], number) => {
      if (verdict && cells[verdictAt] !== verdict) return;
      if (wanted && !where.some((at) => words(board.columns[at], cells[at]).toLowerCase().includes(wanted))) return;
      order.push(number);
    });
    const at = column(sorting.key);
    // Rows come by rank, and that order stays within equal cells.
    if (sorting.key !== "rank" || sorting.down) {
      const numbers = numbersOf(board.columns[at], at);
      const sign = sorting.down ? -1 : 1;
      order.sort((a, b) => {
        const x = numbers[a], y = numbers[b];
        // Nothing to sort by comes last in either direction.
        if (x !== x || y !== y) return x === x ? -1 : y === y ? 1 : a - b;
        return x === y ? a - b : x < y ? -sign : sign;
      });
    }
    draw();
  }

  function tell() {
    const some = order.length === board.rows ? `${grouped(board.rows)} submissions` : `${grouped(order.length)} of ${grouped(board.rows)} submissions`;
    $("count").textContent = rows.length < board.rows ? `${some}, loading …` : some;
  }

  function draw() {
    const shown = board.columns.map((one, at) => [one, at]).filter(([one]) => one.key === "rank" || one.key === "name" || isShown(one));
    const table = $("table");
    const focused = document.activeElement && document.activeElement.dataset.sort;
    table.tHead.replaceChildren(make("tr", {}, ...shown.map(([one]) => {
      const mine = sorting.key === one.key;
      const sort = mine ? (sorting.down ? "descending" : "ascending") : "none";
      const button = make("button", { type: "button", "data-sort": one.key }, one.label,
        make("span", { class: "sign", "aria-hidden": "true" }, mine ? (sorting.down ? "▾" : "▴") : ""),
        one.note ? make("small", {}, one.note) : "");
      button.addEventListener("click", () => {
        sorting = sorting.key === one.key ? { key: one.key, down: !sorting.down } : { key: one.key, down: one.down };
        turn = 0;
        complete.then(arrange, () => {});
      });
      return make("th", { scope: "col", class: classes(one), "aria-sort": sort }, button);
    })));
    if (focused) {
      const again = [...table.tHead.querySelectorAll("button")].find((button) => button.dataset.sort === focused);
      if (again) again.focus();
    }
    const tieAt = column("tie");
    const here = order.slice(turn * PAGE, (turn + 1) * PAGE);
    table.tBodies[0].replaceChildren(...here.map((number) => {
      const [key, cells] = rows[number];
      const tie = tieAt >= 0 ? cells[tieAt] : null;
      const state = cells[0] === null ? "unranked" : tie === null ? "" : tie % 2 ? "tied" : "tied tied-even";
      return make("tr", { class: state || null }, ...shown.map(([one, at]) => cellOf(one, cells[at], key)));
    }));
    const pages = Math.ceil(order.length / PAGE);
    $("pager").hidden = pages < 2;
    $("where").textContent = `Page ${grouped(turn + 1)} of ${grouped(pages)}`;
    for (const button of $("pager").querySelectorAll("button")) {
      button.disabled = ["first", "back"].includes(button.dataset.turn) ? turn === 0 : turn >= pages - 1;
    }
    tell();
  }

  function cellOf(one, cell, key) {
    if (one.kind === "name") {
      const [name, ...marks] = cell;
      return make("th", { scope: "row", class: classes(one) },
        make("a", { href: `#/submission/${key}`, title: name }, name), ...marks.flatMap((mark) => [" ", make("span", { class: "badge" }, mark)]));
    }
    const ranking = one.key === board.ranking ? " ranking" : "";
    if (one.kind === "score" && cell !== null) {
      const value = fixed(cell[0], one.digits);
      const error = words(one, cell).slice(value.length);
      return make("td", { class: classes(one) + ranking }, value, error ? make("span", { class: "error" }, error) : "");
    }
    return make("td", { class: classes(one), title: one.kind === "text" ? cell : null }, words(one, cell));
  }

  // A page of one submission --------------------------------------------------------------------------

  function route() {
    const match = /^#\/submission\/([0-9A-Za-z-]+)$/.exec(window.location.hash);
    if (!match) return showBoard();
    complete.then(async () => {
      const wanted = match[1].length === 64 ? match[1].slice(0, KEY) : match[1];
      const number = rows.findIndex(([key]) => key === wanted);
      if (number < 0) return showMissing();
      const chunk = Math.floor(number / head.pages);
      const pages = await load(`pages ${board.key} ${chunk}`, `pages-${board.key}-${chunk}`);
      showPage(rows[number][1], pages[number % head.pages]);
    }).catch((error) => showMissing(error));
    return undefined;
  }

  function showBoard() {
    const before = !$("view-submission").hidden;
    $("view-submission").hidden = true;
    $("view-board").hidden = false;
    document.title = head.title;
    if (before) { window.scrollTo(0, 0); $("title").focus(); }
  }

  function showMissing(error) {
    show("Not found", make("p", {}, error ? `${error.message} could not be loaded.` : "No submission on this board has this address."));
  }

  function show(title, ...content) {
    const article = $("view-submission");
    const heading = make("h1", { tabindex: "-1" }, title);
    article.replaceChildren(
      make("p", { class: "back" }, make("a", { href: "#/" }, "← Leaderboard")),
      head.toy ? make("p", { class: "toy", role: "note" }, make("strong", {}, "Toy data: simulated, not measured."), " These are not results of the challenge.") : "",
      heading, ...content.filter((part) => part !== null));
    article.hidden = false;
    $("view-board").hidden = true;
    document.title = `${title} – ${head.title}`;
    window.scrollTo(0, 0);
    heading.focus();
  }

  function section(title, ...content) {
    return make("section", {}, make("h2", {}, title), ...content);
  }

  function table(label, heads, lines) {
    return make("div", { class: "plain", role: "region", "aria-label": label, tabindex: "0" }, make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map(([text, kind]) => make("th", { scope: "col", class: kind }, text)))),
      make("tbody", {}, ...lines.map((line) => make("tr", {}, ...line.map((cell, at) =>
        at === 0 ? make("th", { scope: "row", class: heads[at][1] }, cell) : make("td", { class: heads[at][1] }, cell)))))));
  }

  function sheet(pairs) {
    return make("dl", { class: "sheet" }, ...pairs.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
  }

  const number = (value, digits) => (value === null || value === undefined ? "" : fixed(value, digits));

  function showPage(cells, page) {
    const [name, ...marks] = cells[column("name")];
    const facts = board.columns.map((one, at) => [one, cells[at]])
      .filter(([one, cell]) => cell !== null && ["rank", "range", "holds", "moved", "team", "entries", board.ranking].includes(one.key))
      .map(([one, cell]) => make("div", {}, make("dt", {}, one.label + (one.note ? ` (${one.note})` : "")), make("dd", {}, words(one, cell).trim())));
    const verdict = make("span", { class: page.verdict === "scored" ? "verdict-scored" : "verdict-other" }, page.verdict.replaceAll("_", " "));
    facts.push(make("div", {}, make("dt", {}, "Verdict"), make("dd", {}, verdict)));
    show(name,
      marks.length ? make("p", { class: "quiet" }, marks.join(", ")) : null,
      page.title ? make("p", { class: "lead" }, page.title) : null,
      make("dl", { class: "facts" }, ...facts),
      page.reason ? make("p", { class: "note" }, page.reason) : null,
      tiedWith(cells, page.key),
      page.description ? make("p", {}, page.description) : null,
      page.scores.length ? section("Scores", scoresOf(page)) : null,
      page.gates.length ? section("Gates", sheet(page.gates)) : null,
      page.usage.length ? section("Limits", usageOf(page)) : null,
      page.folds.lines.length ? section("Folds", foldsOf(page)) : null,
      page.pictures.length ? section("Pictures", make("div", { class: "figures" }, ...page.pictures.map((picture) =>
        make("figure", {}, make("img", { src: `${folder}/${picture.file}`, alt: `${picture.title} of ${name}`, loading: "lazy" }), make("figcaption", {}, picture.title))))) : null,
      page.log.length ? section("End of the log", make("pre", { tabindex: "0", "aria-label": "End of the log" }, page.log.join("\n"))) : null,
      section("Fact sheet", sheet(page.about)),
      page.links.length ? section("Links", make("ul", { class: "links" }, ...page.links.map(([text, address]) =>
        make("li", {}, address ? make("a", { href: address, rel: "nofollow noopener noreferrer" }, text) : text)))) : null);
  }

  function tiedWith(cells, key) {
    const at = column("tie");
    if (at < 0 || cells[at] === null) return null;
    const nameAt = column("name");
    const others = rows.filter(([other, theirs]) => theirs[at] === cells[at] && other !== key).map(([, theirs]) => words(board.columns[nameAt], theirs[nameAt]));
    const first = others.slice(0, 5).map((name) => `“${name}”`).join(", ");
    const more = others.length > 5 ? ` and ${others.length - 5} more` : "";
    return make("p", { class: "note" }, `Statistically tied with ${first}${more}: the test sample is too small to tell their order.`);
  }

  function scoresOf(page) {
    const kinds = ["± test sample", "± over folds", "± over trainings"].map((title, at) => [title, at + 4]).filter(([, at]) => page.scores.some((line) => line[at] !== null));
    const heads = [["metric", ""], ["part", ""], ["score", "number"], ...kinds.map(([title]) => [title, "number"])];
    return table("Scores", heads, page.scores.map((line) =>
      [line[0], line[1], number(line[3], line[2]), ...kinds.map(([, at]) => number(line[at], line[2] + 1))]));
  }

  function usageOf(page) {
    const lines = page.usage.map(([what, kind, used, limit, compares]) => {
      let bar = "";
      if (compares && limit !== null) {
        bar = make("meter", { min: 0, max: limit, value: Math.min(used, limit), "aria-label": `${what}: share of the limit` });
      }
      const share = compares && limit !== null ? `${fixed((100 * used) / limit, 0)} %` : "";
      return [what, quantity(kind, used), limit === null ? "none" : quantity(kind, limit), share, bar];
    });
    return table("Limits", [["most of any fold", ""], ["used", "number"], ["limit", "number"], ["share", "number"], ["", ""]], lines);
  }

  function foldsOf(page) {
    const told = page.folds.lines.some((line) => line[2]);
    const many = page.folds.scores.length;
    const heads = [["fold", ""], ["verdict", ""], ...(told ? [["message", "words"]] : []), ...page.folds.scores.map(([title]) => [title, "number"]),
      ["wall", "number"], ["CPU", "number"], ["memory", "number"]];
    return table("Folds", heads, page.folds.lines.map((line) => [
      line[0], line[1].replaceAll("_", " "), ...(told ? [line[2]] : []),
      ...page.folds.scores.map(([, digits], at) => number(line[3 + at], digits)),
      quantity("seconds", line[3 + many]), quantity("seconds", line[4 + many]), quantity("memory", line[5 + many])]));
  }

  // Light and dark ------------------------------------------------------------------------------------

  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const press = () => $("theme").setAttribute("aria-pressed", String(isDark()));
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      window.localStorage.setItem("hepchallenge-theme", root.dataset.theme);
    } catch (error) {
      // Storage is blocked: the choice holds as long as the page is open.
    }
    press();
  });
  dark.addEventListener("change", press);
  press();
})();
