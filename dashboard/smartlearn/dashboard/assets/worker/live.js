// Holds the socket of live pushes and opens it again when it closes: soon, then rarer, never in step with other pages.
"use strict";
const FIRST_MS = 250;
const LAST_MS = 8000;
let socket = null;
let timer = null;
let wait = FIRST_MS;
let url = null;

function open() {
  timer = null;
  socket = new WebSocket(url);
  socket.onopen = () => {
    wait = FIRST_MS;
    postMessage({ open: true });
  };
  socket.onmessage = (event) => postMessage({ text: event.data });
  socket.onclose = () => {
    postMessage({ open: false });
    if (url === null) return;
    timer = setTimeout(open, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, LAST_MS);
  };
}

onmessage = (event) => {
  url = event.data.url;
  clearTimeout(timer);
  if (socket) {
    socket.onclose = null;
    socket.close();
    socket = null;
  }
  if (url) open();
};
