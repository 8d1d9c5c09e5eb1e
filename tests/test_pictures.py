"""Pictures show the right image in the right place, survive the disk, and are written whole or not at all."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from gan_jax import files, pictures, plots
from gan_jax.errors import UserError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def frames_of(path):
    with Image.open(path) as animation:
        for i in range(getattr(animation, "n_frames", 1)):
            animation.seek(i)
            yield np.asarray(animation.convert("RGB")), animation.info["duration"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_to_uint8_inverts_the_scaling_of_every_level(dtype):
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(pictures.to_uint8((levels / 127.5 - 1).astype(dtype)), levels)


def test_to_uint8_clips_rounds_and_shows_what_is_not_finite():
    x = np.array([-9, -1, -0.999, 0.999, 1, 9, np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(pictures.to_uint8(x), [0, 0, 0, 255, 255, 255, 255, 0, 128])


def test_to_uint8_takes_bfloat16():
    np.testing.assert_array_equal(pictures.to_uint8(np.array([-1, 0, 1], ml_dtypes.bfloat16)), [0, 128, 255])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("count", "columns", "padding", "scale"), [(7, None, 2, 1), (7, 7, 0, 1), (6, 4, 3, 2), (1, 3, 1, 5)]
)
def test_grid_places_image_i_at_row_and_column_and_nothing_else(channels, count, columns, padding, scale):
    images = noise(count, 5, 4, channels)
    picture = pictures.grid(images, columns, padding, scale)
    columns = columns or 3  # ceil(sqrt(7))
    height, width = 5 * scale + padding, 4 * scale + padding
    assert picture.shape == (-(-count // columns) * height + padding, columns * width + padding, 3)
    rest = np.ones(picture.shape[:2], bool)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        place = np.s_[row * height + padding :, column * width + padding :]
        place = np.s_[place[0].start : place[0].start + 5 * scale, place[1].start : place[1].start + 4 * scale]
        expected = np.broadcast_to(image, (5, 4, 3)).repeat(scale, 0).repeat(scale, 1)
        np.testing.assert_array_equal(picture[place], expected)
        rest[place] = False
    assert (picture[rest] == pictures.NEUTRAL).all()


def test_grid_of_floats_is_the_grid_of_their_uint8():
    images = noise(4, 3, 3, 1)
    np.testing.assert_array_equal(pictures.grid(images / np.float32(127.5) - 1), pictures.grid(images))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 28, 28)), r"images: got float64 of shape \(8, 28, 28\), expected \[N, H, W, 1 or 3\]"),
        (np.zeros((8, 28, 28, 4), np.uint8), r"images: .*\(8, 28, 28, 4\)"),
        (np.zeros((0, 28, 28, 1), np.uint8), r"images: .*\(0, 28, 28, 1\)"),
        (np.zeros((8, 28, 28, 1), np.int32), r"images: got int32"),
        (np.zeros((8, 2)), r"images: .*\(8, 2\)"),
    ],
)
def test_grid_refuses_what_are_no_images(images, message):
    with pytest.raises(ValueError, match=message):
        pictures.grid(images)


@pytest.mark.parametrize("arguments", [{"columns": 0}, {"padding": -1}, {"scale": 0}])
def test_grid_refuses_numbers_that_are_too_small(arguments):
    with pytest.raises(ValueError, match="columns, padding, scale: got"):
        pictures.grid(noise(2, 3, 3, 1), **arguments)


def ink(picture):
    """Centre of mass (x to the right, y upwards, from the middle) of what the points colour."""
    red, blue = picture[..., 0].astype(float), picture[..., 2].astype(float)
    y, x = np.nonzero(red - blue > 60)
    return x.mean() / picture.shape[1] - 0.5, 0.5 - y.mean() / picture.shape[0]


def test_scatter_puts_points_where_they_are():
    cloud = np.random.default_rng(0).normal(size=(200, 2)) * 0.05
    right, up = (ink(plots.scatter(cloud + centre, limit=2.0)) for centre in np.eye(2))
    assert right[0] > 0.15 and abs(right[1]) < 0.05
    assert up[1] > 0.15 and abs(up[0]) < 0.05


def test_scatter_is_a_picture_on_one_scale_for_one_reference():
    reference = np.random.default_rng(0).normal(size=(50, 2))
    near, far = (plots.scatter(reference * factor, reference) for factor in (0.1, 100.0))
    assert near.dtype == np.uint8 and near.shape == far.shape and near.shape[2] == 3
    corner = np.s_[-30:, :]  # the tick labels: the same limits, whatever the points
    np.testing.assert_array_equal(near[corner], far[corner])


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.full((4, 2), np.nan), np.zeros((4, 2))])
def test_scatter_draws_an_empty_plane_rather_than_fail(points):
    assert plots.scatter(points).shape[2] == 3


def test_scatter_refuses_images_and_names_which():
    with pytest.raises(ValueError, match=r"points: got .*\(4, 3\), expected \[N, 2\]"):
        plots.scatter(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"reference: got"):
        plots.scatter(np.zeros((4, 2)), np.zeros(4))


AXIS = np.linspace(-2, 2, 24)
NONE = np.zeros((0, 2))


def slope(x, y):
    """Logits that grow by x to the right and by y upwards."""
    return x * AXIS[None] + y * AXIS[:, None]


def blue(picture):
    """How much deeper the blue is to the right of the middle than to the left, and above than below."""
    depth = 255.0 - picture[40:-40, 50:-30, 0]  # within the frame
    height, width = depth.shape
    right, up = depth[:, width // 2 :].mean() - depth[:, : width // 2].mean(), depth[: height // 2].mean()
    return right, up - depth[height // 2 :].mean()


def test_field_is_deeper_where_logits_are_larger():
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        right, up = blue(plots.field(NONE, None, AXIS, slope(x, y)))
        np.testing.assert_array_equal(np.sign(np.round([right, up])), [x, y])


def test_field_changes_only_where_logits_do():
    bump = np.where((AXIS[None] > 1) & (AXIS[:, None] > 1), 3.0, 0.0)
    level = slope(1, 0)
    level[[0, -1], :], level[:, 0], level[:, -1] = 0, -30, 30  # the 2nd and 98th percentiles stay as they are
    changed = (plots.field(NONE, None, AXIS, level) != plots.field(NONE, None, AXIS, level - bump)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed.mean() > 0.01
    assert rows.max() < 0.35 * len(changed) and columns.min() > 0.65 * len(changed)  # the corner, up and to the right


def test_field_does_not_see_the_scale_of_logits():
    logits = np.random.default_rng(0).integers(-8, 9, (24, 24)).astype(np.float32)  # exact in what follows
    picture = plots.field(NONE, None, AXIS, logits)
    for factor, offset in ((1, 0), (2.0**40, 0), (2.0**-40, 0), (1, 1024), (4, -64)):
        np.testing.assert_array_equal(plots.field(NONE, None, AXIS, factor * logits + offset), picture)
    assert (plots.field(NONE, None, AXIS, -logits) != picture).any()


def test_field_draws_points_where_scatter_does():
    cloud = np.random.default_rng(0).normal(size=(200, 2)) * 0.05 + [1, 0.5]
    over = plots.field(cloud, -cloud, AXIS, slope(1, 2), np.ones((8, 8, 2)))
    alone = plots.scatter(cloud, -cloud, limit=2.0)
    assert over.dtype == np.uint8 and over.shape == alone.shape
    np.testing.assert_allclose(ink(over), ink(alone), atol=2e-3)  # half a pixel in 480 is 1e-3
    np.testing.assert_array_equal(over[-30:], alone[-30:])  # the same tick labels


def test_field_has_one_size_and_no_logits_are_one_flat_colour():
    flat = plots.field(NONE, None, AXIS, np.zeros((24, 24)))
    assert len(np.unique(flat[60:-60, 60:-60].reshape(-1, 3), axis=0)) == 1
    for same in (np.full((24, 24), -3.0), np.full((24, 24), np.nan), np.full((24, 24), np.inf)):
        np.testing.assert_array_equal(plots.field(NONE, None, AXIS, same), flat)
    holes = slope(1, 0)
    holes[:12, :8], holes[3, 3], holes[20, 20] = np.nan, np.inf, -np.inf
    shown = plots.field(NONE, None, AXIS, holes)
    assert shown.shape == flat.shape
    hole = np.s_[300:400, 60:140]  # below, to the left
    np.testing.assert_array_equal(shown[hole], flat[hole])
    far = plots.field(100 * np.ones((4, 2)), np.full((4, 2), np.nan), AXIS, slope(1, 0), limit=9.0)
    assert far.shape == flat.shape


def test_field_arrows_have_a_direction_and_no_length():
    random = np.random.default_rng(0).normal(size=(6, 6, 2))
    bare = plots.field(NONE, None, AXIS, slope(1, 0))
    arrows = plots.field(NONE, None, AXIS, slope(1, 0), random)
    lengths = 2.0 ** np.arange(-18, 18).reshape(6, 6, 1)  # exact factors
    np.testing.assert_array_equal(plots.field(NONE, None, AXIS, slope(1, 0), random * lengths), arrows)
    assert (plots.field(NONE, None, AXIS, slope(1, 0), -random) != arrows).any()
    for none in (np.zeros((6, 6, 2)), np.full((6, 6, 2), np.nan)):
        np.testing.assert_array_equal(plots.field(NONE, None, AXIS, slope(1, 0), none), bare)
    one = np.zeros((5, 5, 2))
    one[3, 1] = 1e-9, 0  # at x = -1, y = 1, to the right: wider than high
    changed = (plots.field(NONE, None, AXIS, slope(1, 0), one) != bare).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert np.ptp(columns) > 2 * np.ptp(rows) > 0
    plane = 0.88 * len(bare)  # the square shown; a quarter of it to the left of the arrow, and above
    assert columns.mean() == pytest.approx(0.08 * len(bare) + plane / 4, abs=5)
    assert rows.mean() == pytest.approx(0.05 * len(bare) + plane / 4, abs=5)


def test_field_refuses_shapes_and_names_which():
    fine = {"points": NONE, "reference": None, "axis": AXIS, "logits": slope(1, 0)}
    for name, wrong, message in (
        ("points", np.zeros((4, 3)), r"points: got .*\(4, 3\), expected \[N, 2\]"),
        ("reference", np.zeros(4), r"reference: got"),
        ("axis", AXIS[::-1], r"axis: .*increasing"),
        ("axis", AXIS[None], r"axis: .*\(1, 24\)"),
        ("logits", np.zeros((24, 23)), r"logits: .*\(24, 23\), expected \[24, 24\]"),
        ("gradient", np.zeros((8, 7, 2)), r"gradient: .*\(8, 7, 2\), expected \[m, m, 2\]"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.field(**{**fine, name: wrong})


def test_png_round_trip_is_exact(tmp_path):
    picture = noise(11, 7, 3)
    pictures.save_png(tmp_path / "new" / "a.png", picture)
    np.testing.assert_array_equal(pictures.load_png(tmp_path / "new" / "a.png"), picture)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_png_refuses_what_is_no_picture_and_writes_nothing(tmp_path, image):
    with pytest.raises(ValueError, match=r"image: got .* expected uint8 \[H, W, 3\]"):
        pictures.save_png(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_gif_has_the_frames_their_times_and_exactly_their_greys(tmp_path):
    frames = [np.repeat(noise(16, 16, 1, seed=seed), 3, axis=2) for seed in range(5)]
    pictures.save_gif(tmp_path / "a.gif", frames, milliseconds=80, hold=900)
    shown = list(frames_of(tmp_path / "a.gif"))
    assert [time for _, time in shown] == [80, 80, 80, 80, 900]
    for (image, _), frame in zip(shown, frames, strict=True):
        np.testing.assert_array_equal(image, frame)


def test_gif_of_few_colours_is_exact_and_of_many_is_close(tmp_path):
    few = [noise(16, 16, 3, seed=seed) & 0xC0 for seed in range(3)]
    y, x = np.mgrid[:128, :128]
    many = [np.stack([2 * x, 2 * y, np.full_like(x, 40 * t)], axis=2).astype(np.uint8) for t in range(3)]
    for frames, tolerance in ((few, 0), (many, 8)):
        pictures.save_gif(tmp_path / "a.gif", frames)
        for (image, _), frame in zip(frames_of(tmp_path / "a.gif"), frames, strict=True):
            assert np.abs(image - frame.astype(float)).mean() <= tolerance


def test_gif_keeps_the_colour_of_the_background(tmp_path):
    backgrounds = [(255, 255, 255), (0, 0, 0), (112, 112, 112), (253, 250, 200)]
    frames = []
    for background in backgrounds:
        frames.append(np.broadcast_to(np.array(background, np.uint8), (64, 64, 3)).copy())
        frames[-1][16:48, 16:48] = noise(32, 32, 3)  # far more colours than a palette has
    pictures.save_gif(tmp_path / "a.gif", frames)
    for (image, _), background in zip(frames_of(tmp_path / "a.gif"), backgrounds, strict=True):
        np.testing.assert_array_equal(image[:16], np.broadcast_to(background, (16, 64, 3)))


def test_gif_merges_equal_frames_and_keeps_the_time(tmp_path):
    frame = noise(8, 8, 3) & 0xC0
    pictures.save_gif(tmp_path / "a.gif", [frame, frame, 255 - frame], milliseconds=100, hold=500)
    assert [time for _, time in frames_of(tmp_path / "a.gif")] == [200, 500]


def test_gif_refuses_no_frames_and_names_the_one_that_differs(tmp_path):
    with pytest.raises(ValueError, match="frames: got none"):
        pictures.save_gif(tmp_path / "a.gif", [])
    with pytest.raises(ValueError, match=r"frames\[1\]: .*\(4, 5, 3\), expected .*\(4, 4, 3\)"):
        pictures.save_gif(tmp_path / "a.gif", [noise(4, 4, 3), noise(4, 5, 3)])


def test_npz_round_trip_and_no_pickle(tmp_path):
    arrays = {"images": noise(2, 3, 3, 1), "path": np.arange(3.0)}
    pictures.save_npz(tmp_path / "a.npz", **arrays)
    with np.load(tmp_path / "a.npz") as loaded:
        assert set(loaded) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)
    with pytest.raises(ValueError, match="allow_pickle"):
        pictures.save_npz(tmp_path / "b.npz", bad=np.array([object()]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_former_file_and_no_other(tmp_path, monkeypatch, error):
    path = tmp_path / "a.png"
    pictures.save_png(path, noise(4, 4, 3))
    former = path.read_bytes()

    def save(self, stream, *args, **kwargs):
        stream.write(b"half")
        raise error

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(type(error)):
        pictures.save_png(path, noise(4, 4, 3))
    with pytest.raises(type(error)):
        pictures.save_gif(path.with_suffix(".gif"), [noise(4, 4, 3)])
    assert path.read_bytes() == former and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_process_that_dies_while_writing_leaves_the_former_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"former")
    code = f"""import os
from gan_jax import files
with files.atomic({str(path)!r}) as stream:
    stream.write(b"half")
    stream.flush()
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert path.read_bytes() == b"former"
    assert [p.suffix for p in tmp_path.iterdir() if p != path] == [".partial"]  # nothing that a search for *.bin finds


def test_atomic_gives_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "usual").touch()
    with files.atomic(tmp_path / "atomic") as stream:
        stream.write(b"whole")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    for content in (b"first", b"second"):  # there is no file at first
        with files.atomic(tmp_path / "link") as stream:
            stream.write(content)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "file").read_bytes() == content


@pytest.mark.parametrize(("name", "kind"), [("folder", "a folder"), ("pipe", "a pipe"), ("null", "a device")])
def test_what_is_no_regular_file_is_not_replaced(tmp_path, name, kind):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    with pytest.raises(UserError, match=f"{name} is {kind}"), files.atomic(tmp_path / name):
        pytest.fail("it is written to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "null", "pipe"]


def test_the_name_ends_in_what_the_file_is(tmp_path):
    for write in (
        lambda: pictures.save_png(tmp_path / "a.jpg", noise(4, 4, 3)),
        lambda: pictures.save_gif(tmp_path / "a.png", [noise(4, 4, 3)]),
        lambda: pictures.save_npz(tmp_path / "a.png", x=np.zeros(3)),
    ):
        with pytest.raises(
            UserError, match=r"a\.(jpg|png): the output is a (PNG|GIF|NPZ) file; .* ends in \.(png|gif|npz)"
        ):
            write()
    assert not list(tmp_path.iterdir())
    pictures.save_png(tmp_path / "A.PNG", noise(4, 4, 3))


def test_grey_is_written_as_grey(tmp_path):
    image = noise(5, 4, 1)
    pictures.save_png(tmp_path / "a.png", image)
    with Image.open(tmp_path / "a.png") as found:
        assert found.mode == "L"
    np.testing.assert_array_equal(pictures.load_png(tmp_path / "a.png"), np.repeat(image, 3, axis=2))


def test_a_place_that_is_read_only_is_refused_beforehand(tmp_path, monkeypatch):
    files.require_writable(tmp_path / "new" / "deep" / "a.png", ".png")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root may write anywhere
    with pytest.raises(UserError, match=rf"{tmp_path} is not writable; give another path with --out"):
        files.require_writable(tmp_path / "new" / "deep" / "a.png")


def test_a_notebook_shows_the_pixels_of_a_picture():
    for picture in (noise(4, 5, 3), noise(4, 5, 1)):
        np.testing.assert_array_equal(np.asarray(pictures.pil(picture)).reshape(picture.shape), picture)
    with pytest.raises(UserError, match="image: got uint8 of shape"):
        pictures.pil(noise(2, 4, 5, 3))
