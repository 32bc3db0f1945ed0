// The slice viewer: shows one slice of a volume at a time, with a layer over the image.
for (const viewer of document.querySelectorAll(".viewer")) {
  const data = JSON.parse(viewer.querySelector("script").textContent);
  const at = (name) => viewer.querySelector(`[data-part="${name}"]`);
  const [base, over, stage, slice, opacity, zoom] =
    ["base", "over", "stage", "slice", "opacity", "zoom"].map(at);

  const show = () => {
    const index = Number(slice.value);
    const layer = viewer.querySelector("input[type=radio]:checked").value;
    base.src = data.layers.image[index];
    over.hidden = !(layer in data.layers);
    if (!over.hidden) over.src = data.layers[layer][index];
    over.style.opacity = opacity.value / 100;
    at("number").textContent = `${data.z[index] + 1} of ${data.n}`;
    viewer.classList.toggle("heat", layer === "uncertainty");
  };

  const magnify = () => {
    const x = (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth;
    const y = (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight;
    at("sheet").style.width = `${zoom.value}%`;
    stage.scrollTo(x * stage.scrollWidth - stage.clientWidth / 2, y * stage.scrollHeight - stage.clientHeight / 2);
    at("factor").textContent = `${zoom.value} %`;
  };

  const step = (by) => {
    slice.value = Number(slice.value) + by;
    show();
  };

  for (const input of viewer.querySelectorAll("input")) input.addEventListener("input", show);
  zoom.addEventListener("input", magnify);
  stage.addEventListener("keydown", (event) => {
    const by = { PageUp: -1, PageDown: 1, ",": -1, ".": 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  stage.addEventListener("wheel", (event) => {
    if (document.activeElement !== stage) return;  // the wheel scrolls the page until the viewer has been clicked
    event.preventDefault();
    step(Math.sign(event.deltaY));
  }, { passive: false });
  show();
}
