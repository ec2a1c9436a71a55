// Every page is complete without this file. It only saves reloads and keystrokes.

// "3 min ago" goes on counting.
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function sayAgo() {
  for (const each of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(each.dateTime)) / 1000;
    const size = Math.abs(seconds);
    const [length, unit] = units.find(([one]) => size >= one) ?? [1, "s"];
    const text = size < 1 ? "now" : `${Math.floor(size / length)} ${unit}`;
    each.textContent = size < 1 ? text : seconds > 0 ? `${text} ago` : `in ${text}`;
  }
}
setInterval(sayAgo, 10_000);
