// Runs before everything else of the page.

// A chosen theme must not flash: light, dark, or "" for what the system says.
document.documentElement.dataset.theme = localStorage.getItem("tenth.theme") ?? "";

// Debian 12's DOMPurify (2.4.1+deb12u1) asks, in a line that a security patch put into the wrong function, for a
// variable that is not there, and throws. With this one the line does nothing; the same check stands in the loop where
// it belongs.
Object.defineProperty(globalThis, "shadowNode", {value: Object.freeze({})});
