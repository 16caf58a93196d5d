"""Presets of GAN training."""

from karpa_tf.configs import dcgan, residual_gan
from karpa_tf.configs.gan import DCGAN, ResidualGAN

# On digits the generator draws more classes, and clearer ones, if it trains faster than the discriminator.
_FAST_GENERATOR = {"learning_rate": 1e-3, "discriminator_learning_rate": 2.5e-4}


def _dcgan(data, epochs, model, suffix="", **changes):
    return DCGAN(name=f"dcgan_{data}{suffix}", data=data, epochs=epochs, model=model, **changes)


def _residual(kind, data, epochs, model, **changes):
    return ResidualGAN(name=f"{kind}_{data}", data=data, epochs=epochs, model=model, **changes)


# Gulrajani et al. 2017, algorithm 1 and appendix F.
_WGAN_GP = {
    "loss": "wasserstein",
    "critic_steps": 5,
    "penalty": "gradient",
    "learning_rate": 2e-4,
    "beta_1": 0.0,
    "beta_2": 0.9,
    "linear_decay": True,
}

# Miyato et al. 2018, table 3 D and section 4.
_SNGAN = {
    "loss": "hinge",
    "critic_steps": 5,
    "learning_rate": 2e-4,
    "beta_1": 0.0,
    "beta_2": 0.9,
    "linear_decay": True,
}

# Zhang et al. 2018, section 4: two time scales (Heusel et al. 2017) instead of several updates.
_SAGAN = {
    "loss": "hinge",
    "critic_steps": 1,
    "learning_rate": 1e-4,
    "discriminator_learning_rate": 4e-4,
    "beta_1": 0.0,
    "beta_2": 0.9,
}


# For small networks on a CPU, chosen on the digits; docs/results.md says what it reached there and on MNIST.
_SMALL = {
    "loss": "hinge",
    "critic_steps": 1,
    "penalty": "gradient",
    "learning_rate": 1e-3,
    "beta_1": 0.0,
    "beta_2": 0.9,
    "linear_decay": True,
}

# Faster, and chosen on 1,906 emoji of 64x64.
_LAZY_R1 = {"penalty": "r1", "penalty_weight": 5.0, "penalty_every": 8}

# 640 epochs of CIFAR-10 are 100,000 updates of the generator, as in the papers.
PRESETS = {
    "digits": _dcgan("digits", 150, dcgan.DIGITS, **_FAST_GENERATOR),
    "smoke": DCGAN(name="dcgan_smoke", data="digits", epochs=1, model=dcgan.TINY),
    "mnist": _dcgan("mnist", 20, dcgan.TUTORIAL_28, **_FAST_GENERATOR),
    "fashion_mnist": _dcgan("fashion_mnist", 20, dcgan.TUTORIAL_28, **_FAST_GENERATOR),
    "cifar10": _dcgan("cifar10", 50, dcgan.TUTORIAL_32),
    "celeb_a": _dcgan("celeb_a", 20, dcgan.TUTORIAL_64),
    "celeb_a_paper": _dcgan("celeb_a", 20, dcgan.PAPER_64, "_paper", batch_size=128),
    "images": _residual("residual_gan", "images", 200, residual_gan.SMALL_64, augment="auto", **_SMALL | _LAZY_R1),
    "images_dcgan": _dcgan("images", 50, dcgan.TUTORIAL_64),
    "images_paper": _dcgan("images", 50, dcgan.PAPER_64, "_paper", batch_size=128),
    "smoke_projection": ResidualGAN(
        name="projection_smoke", data="digits", epochs=1, model=residual_gan.TINY, conditional=True, **_SAGAN
    ),
    "digits_projection": _residual("projection", "digits", 60, residual_gan.SMALL_16, conditional=True, **_SMALL),
    "mnist_projection": _residual("projection", "mnist", 18, residual_gan.SMALL_28, conditional=True, **_SMALL),
    "wgan_gp": _residual("wgan_gp", "cifar10", 640, residual_gan.WGAN_GP_32, **_WGAN_GP),
    "wgan_gp_64": _residual("wgan_gp", "images", 50, residual_gan.WGAN_GP_64, **_WGAN_GP),
    "sngan": _residual("sngan", "cifar10", 640, residual_gan.SNGAN_32, **_SNGAN),
    "sngan_64": _residual("sngan", "images", 50, residual_gan.SNGAN_64, **_SNGAN),
    "sagan": _residual("sagan", "cifar10", 50, residual_gan.SAGAN_32, **_SAGAN),
    "sagan_64": _residual("sagan", "images", 50, residual_gan.SAGAN_64, **_SAGAN),
    "projection": _residual("projection", "cifar10", 640, residual_gan.SNGAN_32, conditional=True, **_SNGAN),
    "projection_64": _residual("projection", "images", 50, residual_gan.SNGAN_64, conditional=True, **_SNGAN),
}
