// Every page is complete without this file. It only saves reloads and keystrokes.

// "3 min ago" and "for 4 min 12 s" go on counting.
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function sayAgo() {
  for (const each of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(each.dateTime)) / 1000;
    const size = Math.abs(seconds);
    const [length, unit] = units.find(([one]) => size >= one) ?? [1, "s"];
    const text = size < 1 ? "now" : `${Math.floor(size / length)} ${unit}`;
    each.textContent = size < 1 ? text : seconds > 0 ? `${text} ago` : `in ${text}`;
  }
  for (const each of document.querySelectorAll("time[data-took]")) {
    let rest = Math.round((Date.now() - Date.parse(each.dateTime)) / 1000);
    if (rest < 10) continue;
    const parts = [];
    for (const [length, unit] of units) {
      const count = Math.floor(rest / length);
      rest %= length;
      if ((count || parts.length) && parts.length < 2) parts.push(`${count} ${unit}`);
    }
    each.textContent = parts.join(" ");
  }
}
setInterval(sayAgo, 10_000);
