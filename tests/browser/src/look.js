// What is wrong with how the page looks: a list of sentences.
(() => {
  const problems = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) problems.push(`it scrolls sideways: ${root.scrollWidth} of ${innerWidth}`);

  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // Whatever way a colour is written in, the canvas knows it.
  const rgba = color => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const page = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
  const behind = element => {
    if (!element) return page;
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const luminance = color => {
    const [r, g, b] = color.map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (a, b) => {
    const [less, more] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (more + .05) / (less + .05);
  };
  const opacity = element => element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const check = (what, element, color, background) => {
    const [r, g, b, a] = rgba(color);
    const ratio = contrast(over([r, g, b, a * opacity(element)], background), background);
    if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)} of ${what}`);
  };
  const shown = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && element.getBoundingClientRect().width > 0;
  for (const element of document.body.querySelectorAll("*")) {
    if (!shown(element) || element.matches("script, style, :disabled")) continue;
    const name = `${element.tagName.toLowerCase()}${element.id && `#${element.id}`}`;
    const style = getComputedStyle(element);
    const text = [...element.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data).join("").trim();
    if (text || element.value) check(`${name} ${JSON.stringify((text || element.value).slice(0, 30))}`, element, style.color, behind(element));
    if (element.placeholder && !element.value) {
      check(`the placeholder of ${name}`, element, getComputedStyle(element, "::placeholder").color, behind(element));
    }
    // A letter in a circle.
    const before = getComputedStyle(element, "::before");
    if (/[\p{L}#]/u.test(before.content) && !["none", "normal"].includes(before.content)) {
      check(`what is before ${name}`, element, before.color, over(rgba(before.backgroundColor), behind(element)));
    }
    if (element.matches("input, textarea") && !element.labels?.length && !element.ariaLabel) problems.push(`${name} has no label`);
    const { left, right } = element.getBoundingClientRect();
    if (left < -1 || right > innerWidth + 1) problems.push(`${name} is cut at ${left} to ${right}`);
  }
  if (!root.lang) problems.push("no language");
  return problems;
})()
