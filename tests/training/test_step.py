"""A step against one written by hand, the learning rate against its formula, batches against a naive loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny import Records, tiny_config, tiny_model

from nin_helpers.training import TrainStep, make_optimizer, shuffled_batches


@pytest.mark.parametrize("count, batch_size", [(10, 3), (12, 4), (5, 8)])
def test_each_epoch_has_every_example_once_in_another_order(count, batch_size):
    per_epoch = math.ceil(count / batch_size)
    batches = list(shuffled_batches(count, batch_size, 3 * per_epoch, seed=0))
    assert len(batches) == 3 * per_epoch and max(map(len, batches)) <= batch_size
    epochs = [torch.cat(batches[start : start + per_epoch]).tolist() for start in range(0, 3 * per_epoch, per_epoch)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs) and epochs[0] != epochs[1]


def test_the_order_depends_on_the_seed_alone_and_ends_within_an_epoch_too():
    def order(seed):
        return [index.tolist() for index in shuffled_batches(50, 10, 7, seed)]

    first = order(1)
    torch.manual_seed(99)
    assert order(1) == first != order(2) and len(first) == 7


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_step_is_the_step_written_by_hand(digits, make):
    batch, config = digits.train[:16], tiny_config(optimizer=make.__name__.lower(), lr=0.05, label_smoothing=0.1)
    ours, theirs = tiny_model(), tiny_model()
    logits, loss = TrainStep(ours, config, 10)(batch)

    by_hand = make(theirs.parameters(), 0.05, weight_decay=0.0)
    expected_logits = theirs((batch.images.float() / 255 - config.mean) / config.std)
    expected_loss = F.cross_entropy(expected_logits, batch.labels, label_smoothing=0.1)
    expected_loss.backward()
    by_hand.step()

    torch.testing.assert_close(logits, expected_logits.detach())
    torch.testing.assert_close(loss, expected_loss.detach())
    for our, their in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("pieces", [2, 3, 16])
def test_a_batch_in_pieces_is_the_same_step(digits, pieces):
    states = []
    for number in (1, pieces):
        model = tiny_model()
        found = TrainStep(model, tiny_config(), 10)(digits.train[:16], accumulation_steps=number)
        states.append([*found, *(parameter.grad for parameter in model.parameters())])
    for one, other in zip(*states):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_sgd_takes_momentum_and_decays_weights_but_no_biases():
    optimizer, _ = make_optimizer(tiny_model(), tiny_config(optimizer="sgd", momentum=0.9, weight_decay=0.1), 10)
    assert [(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.9, 0.1), (0.9, 0)]
    assert [parameter.dim() for group in optimizer.param_groups for parameter in group["params"]] == [2, 1]


def test_a_step_with_bf16_keeps_weights_and_loss_in_fp32(digits):
    model = tiny_model()
    logits, loss = TrainStep(model, tiny_config(precision="bf16"), 10)(digits.train[:16])
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_flips_reach_the_network(digits):
    model, split = Records(), digits.train[:64]
    TrainStep(model, tiny_config(random_flip=True, mean=0.0, std=1.0), 10)(split)
    mirrored = [torch.allclose(x, y.flip(2)) for x, y in zip(model.seen, split.images / 255)]
    assert 10 < sum(mirrored) < 54


def learning_rates(config, num_steps):
    """Return the rate with which each step is taken, and the one after the last."""
    optimizer, schedule = make_optimizer(tiny_model(), config, num_steps)
    rates = []
    for _ in range(num_steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates)


def test_the_warmup_schedule_is_linear_up_to_its_peak_and_down_to_0():
    rates = learning_rates(tiny_config(schedule="warmup_linear", lr=1.0), 100)
    torch.testing.assert_close(rates[:10], torch.arange(1, 11) / 10)  # the first of ten steps of warm-up already moves
    torch.testing.assert_close(rates[10:], torch.arange(90, -1, -1) / 90)  # the last step still moves


@pytest.mark.parametrize("num_steps", [1, 9])
def test_the_warmup_schedule_of_a_short_run_starts_at_its_peak_and_a_constant_one_stays(num_steps):
    rates = learning_rates(tiny_config(schedule="warmup_linear", lr=1.0), num_steps)
    assert rates[0] == 1 and min(rates[:-1]) > 0
    assert set(learning_rates(tiny_config(schedule="constant", lr=0.5), num_steps).tolist()) == {0.5}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA tells when the host waits")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_no_step_waits_for_the_gpu(digits, precision):
    config = tiny_config(device="cuda", optimizer="adamw", random_flip=True, precision=precision)
    take_step, data = TrainStep(tiny_model().cuda(), config, 10), digits.to("cuda")
    take_step(data.train[:16])
    torch.cuda.set_sync_debug_mode("error")
    try:
        take_step(data.train[:16])
    finally:
        torch.cuda.set_sync_debug_mode("default")
