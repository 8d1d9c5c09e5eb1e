"""Files are downloaded once, completely or not at all, and only with the checksum in their names."""

import hashlib
import http.server
import threading
import urllib.request

import pytest

from gan_jax.data import cache
from gan_jax.metrics.features.download import downloaded


def published(folder, content=b"weights"):
    """Writes a file whose name carries its checksum."""
    path = folder / f"weights-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    return path


def test_downloads_once(tmp_path, monkeypatch, capsys):
    source = published(tmp_path)
    path = downloaded(source.as_uri())
    assert path.parent == cache.directory() and path.read_bytes() == b"weights"
    assert f"downloading {source.as_uri()} to {cache.directory()} (needed only once)" in capsys.readouterr().err
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("downloads again"))
    assert downloaded(source.as_uri()) == path


def test_wrong_checksums_are_refused_and_not_kept(tmp_path):
    source = published(tmp_path)
    source.write_bytes(b"others")
    with pytest.raises(ValueError, match=f"SHA-256 is .*{source.name} begins with .*delete it, and download it again"):
        downloaded(source.as_uri())
    assert not list(cache.directory().iterdir())
    (cache.directory() / source.name).write_bytes(b"damaged")  # put there by hand
    with pytest.raises(ValueError, match=rf"weights '{cache.directory()}.*begins with"):
        downloaded(source.as_uri())


class Server(http.server.BaseHTTPRequestHandler):
    """Promises 100 bytes and sends 7; or finds nothing."""

    def do_GET(self):
        if "missing" in self.path:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"weights")

    def log_message(self, *_):
        pass


def test_failing_downloads_say_what_to_do(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(ConnectionError, match=r"404.*download it on another machine, and give its path"):
                downloaded(f"{address}/missing-01234567.pth")
            with pytest.raises(ValueError, match="begins with 01234567"):
                downloaded(f"{address}/weights-01234567.pth")
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(ConnectionError, match=f"cannot be downloaded.*or put it into {cache.directory()}"):
        downloaded(f"{address}/weights-01234567.pth")  # nobody listens any more
    with pytest.raises(ConnectionError, match="No such file"):
        downloaded((tmp_path / "missing-01234567.pth").as_uri())
    assert not list(cache.directory().iterdir())
