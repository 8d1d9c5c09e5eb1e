"""One module a system; each exports `Config`, `build` and `main`."""
