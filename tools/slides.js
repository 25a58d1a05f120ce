// Read before reveal.js and MathJax: what MathJax takes as a formula, and how the slides begin once all is there.
window.MathJax = {
  tex: { inlineMath: [["$", "$"]], displayMath: [["$$", "$$"]], processEscapes: true },
  svg: { fontCache: "none" },
  options: { enableMenu: false, skipHtmlTags: ["script", "style", "pre", "code"] },
};
addEventListener("load", () => {
  Reveal.initialize({
    width: 1280,
    height: 720,
    margin: 0.03,
    center: false,
    hash: true,
    slideNumber: "c/t",
    navigationMode: "linear",
    transition: "none",
    plugins: [RevealNotes],
  });
  // A slide that is still too long is made smaller, as a whole; tests/browser says by how much at most.
  const fit = ({ currentSlide }) => {
    currentSlide.style.zoom = 1;
    currentSlide.style.zoom = Math.min(1, 700 / currentSlide.scrollHeight);
  };
  Reveal.on("ready", fit);
  Reveal.on("slidechanged", fit);
});
