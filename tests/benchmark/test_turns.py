from keras_resnext.benchmark import turns


def test_contestants_step_in_their_own_process():
    contestant = turns.Contestant("plain PyTorch", "torch", batch_size=1)
    contestant.start("float32")
    try:
        for _ in range(2):
            contestant.turn(1)
    finally:
        contestant.stop()
    assert len(contestant.step_seconds) == 2
    assert all(seconds > 0 for seconds in contestant.step_seconds)
