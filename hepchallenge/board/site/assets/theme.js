// Runs before anything is drawn, so that a page that is kept dark never flashes.
(function () {
  "use strict";
  try {
    const kept = window.localStorage.getItem("hepchallenge-theme");
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  } catch (error) {
    // Storage is blocked: the system's choice holds.
  }
  document.documentElement.classList.add("scripted");
})();
