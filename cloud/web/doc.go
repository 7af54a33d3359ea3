// Package web holds the page that people use, compiled into the program.
//
// The page is a Vue application in src. "npm ci && npm run build" writes it to
// dist, and the Go compiler embeds dist. A clean clone has no build: dist then
// holds one hidden file, [Built] is false, and a server should say so instead
// of answering with an empty page.
//
// # Working on it
//
// In this folder: "npm run dev" serves the sources against a running shedcloud
// on port 8080, "npm run check" checks types and runs the unit tests, "npm run
// e2e" drives the build in Chromium against a server of made-up sheds
// (e2e/fake.js), and "node e2e/shots.js" takes pictures of every view. With
// SHEDGUARD_URL, SHEDGUARD_USER and SHEDGUARD_PASSWORD set, e2e/real.test.js
// drives the page of a running system as well.
//
// # Serving
//
// Paths under /assets carry a hash of their content and may be cached for
// ever; index.html, first.js and the manifest must be asked for each time. A
// path that names no file belongs to the page's own router and is answered
// with index.html. The page needs nothing from elsewhere and works under the
// content security policy "default-src 'self'".
package web
