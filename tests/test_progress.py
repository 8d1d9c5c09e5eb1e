from gan_jax import progress

RECORD = {
    "step": 50,
    "images_per_second": 640.0,
    "discriminator/loss": 1.25,
    "discriminator/accuracy_real": 0.75,
    "discriminator/probability_fake": 0.25,
    "generator/loss": 0.5,
}


def test_a_record_is_told_in_a_line():
    told = progress.summary(RECORD)
    assert told == "640 images/s  discriminator loss 1.25  acc real 0.75  D(G(z)) 0.25  generator loss 0.50"


def test_without_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end(capsys):
    with progress.shown(0, 100, every=1e9) as show:
        show(RECORD)
        show(RECORD | {"step": 75})
        show(RECORD | {"step": 100})
    first, line = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "50/100" and "left" not in first
    assert line.split()[:2] == ["100/100", "0"] and line.endswith(progress.summary(RECORD))
