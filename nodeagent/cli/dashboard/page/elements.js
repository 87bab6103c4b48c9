// Elements, and figures as text. Whatever a stranger has named becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content.filter((each) => each !== null && each !== undefined));
  return element;
}

export function shape(tag, attributes = {}, ...content) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...content);
  return element;
}

export function bytes(count) {
  if (count === null || count === undefined) return "?";
  const sign = count < 0 ? "-" : "";
  let left = Math.abs(count);
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (left < 1024) return sign + (unit === "B" ? left.toFixed(0) : left.toFixed(1)) + " " + unit;
    left /= 1024;
  }
  return sign + left.toFixed(1) + " TiB";
}

export const count = (number) => (number === null || number === undefined ? "?" : number.toLocaleString("en"));

export const millicores = (number) => (number === null || number === undefined ? "?" : `${number} m`);

export const percent = (number) => (number === null || number === undefined ? "?" : `${number.toFixed(number < 10 ? 1 : 0)} %`);

export function age(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  return whole < 172800 ? `${Math.floor(whole / 3600)} h` : `${Math.floor(whole / 86400)} d`;
}

export const amount = (signal, number) => (/(memory|fs)\.available$/i.test(signal) ? bytes(number) : count(number));

export function bar(used, mark, bad) {
  const element = make("meter-bar", bad ? "bad" : "");
  const fill = make("i");
  fill.style.width = `${Math.min(100, Math.max(0, used))}%`;
  element.append(fill);
  if (mark !== null) {
    const tick = make("b");
    tick.style.left = `calc(${Math.min(100, Math.max(0, mark))}% - 1px)`;
    element.append(tick);
  }
  return element;
}
