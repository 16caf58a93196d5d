"""What is measured against still works."""

from test_gan import dcgan_trainer, fit, weights_of

from benchmarks.gan_step import two_pass
from karpa_tf.trainers.gan import GAN


def test_the_step_of_two_passes_moves_every_weight(pictures):
    one = dcgan_trainer()
    other = two_pass(GAN)(one.generator, one.discriminator, ema=0.9)
    other.compile(one.generator_optimizer, one.discriminator_optimizer)
    before = weights_of(other)
    fit(other, pictures, epochs=1)
    assert all((now != then).any() for now, then in zip(weights_of(other), before, strict=True))
