"""Presets of the image classification program: data, model, optimizer and augmentation that go together."""

import dataclasses

from karpa_tf.configs import cnn, resnet, vgg, vit
from karpa_tf.configs.airbench import AirbenchConfig
from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.classifier import CNN, VGG, Airbench, Application, Backbone, ResNet, ViT
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.transfer import TransferConfig

CIFAR_AUGMENTATION = AugmentationConfig(flip="random", crop_padding=0.125)

ONE_CYCLE = OptimizerConfig(schedule="one_cycle", warmup_epochs=1.0, start_fraction=0.2)

MUON = OptimizerConfig(optimizer="muon", momentum=0.6, adam_learning_rate=2e-3, schedule="one_cycle")

RESNET_SGD = OptimizerConfig(optimizer="sgd", weight_decay=5e-4, schedule="cosine", warmup_epochs=1.0)

DIGITS = CNN(
    name="cnn_digits",
    data="digits",
    image_size=16,
    channels=1,
    epochs=40,
    batch_size=64,
    learning_rate=2e-3,
    label_smoothing=0.1,
    optimization=dataclasses.replace(ONE_CYCLE, warmup_epochs=5.0, ema=0.98),
    augmentation=AugmentationConfig(crop_padding=0.125),
    model=cnn.CNNConfig(filters=(32, 64), dense_units=(128,), batch_norm=True, dropout=0.4),
)

MNIST = CNN(
    name="cnn_mnist",
    data="mnist",
    image_size=28,
    channels=1,
    epochs=5,
    batch_size=128,
    learning_rate=2e-3,
    validation_fraction=0.05,
    optimization=ONE_CYCLE,
    augmentation=AugmentationConfig(crop_padding=0.07),
    model=cnn.CNNConfig(filters=(32, 64), batch_norm=True, dropout=0.3),
)

MNIST_BEST = Airbench(
    name="airbench_mnist",
    data="mnist",
    image_size=28,
    channels=1,
    epochs=10,
    batch_size=500,
    learning_rate=0.24,
    label_smoothing=0.2,
    validation_fraction=0.05,
    optimization=MUON,
    augmentation=AugmentationConfig(crop_padding=0.07),
    model=AirbenchConfig(filters=(32, 64, 128)),
)

CIFAR10 = Airbench(
    name="airbench_cifar10",
    data="cifar10",
    image_size=32,
    epochs=8,
    batch_size=1000,
    learning_rate=0.24,
    label_smoothing=0.2,
    validation_fraction=0.0,
    validate_on="test",
    views="flip_shift",
    log_every=10,
    optimization=MUON,
    augmentation=AugmentationConfig(flip="alternating", crop_padding=0.0625),
    model=AirbenchConfig(),
)

VIT_ADAMW = OptimizerConfig(
    optimizer="adamw", weight_decay=0.05, schedule="cosine", warmup_fraction=0.1, global_clipnorm=1.0
)

IMAGES = ResNet(
    name="resnet_images",
    data="images",
    image_size=64,
    epochs=40,
    batch_size=64,
    learning_rate=0.05,
    label_smoothing=0.1,
    optimization=RESNET_SGD,
    augmentation=AugmentationConfig(flip="random", crop_padding=0.0625),
    model=resnet.ResNetConfig(blocks=(2, 2, 2, 2), filters=(32, 64, 128, 256)),
)

TRANSFER = {
    "data": "images",
    "image_size": 224,
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "optimization": OptimizerConfig(optimizer="adamw", weight_decay=0.05, schedule="cosine", warmup_epochs=0.5),
    "augmentation": AugmentationConfig(flip="random", crop_padding=0.125),
}

PRESETS = {
    "digits": DIGITS,
    "smoke": dataclasses.replace(
        DIGITS, name="cnn_smoke", epochs=1, batch_size=128, model=cnn.CNNConfig(filters=(8,), dense_units=(16,))
    ),
    "mnist": MNIST,
    "mnist_best": MNIST_BEST,
    "fashion_mnist": dataclasses.replace(
        MNIST, name="cnn_fashion_mnist", data="fashion_mnist", epochs=15, augmentation=CIFAR_AUGMENTATION
    ),
    "cifar10": CIFAR10,
    "cifar10_resnet20": ResNet(
        name="resnet20_cifar10",
        data="cifar10",
        epochs=160,
        batch_size=128,
        learning_rate=0.1,
        optimization=RESNET_SGD,
        augmentation=CIFAR_AUGMENTATION,
        model=resnet.cifar(20),
    ),
    "cifar10_wrn16_4": ResNet(
        name="wrn16_4_cifar10",
        data="cifar10",
        epochs=100,
        batch_size=128,
        learning_rate=0.1,
        optimization=RESNET_SGD,
        augmentation=dataclasses.replace(CIFAR_AUGMENTATION, cutout=0.25),
        model=resnet.wide(16, 4),
    ),
    "cifar10_vgg16": VGG(
        name="vgg16_cifar10",
        data="cifar10",
        epochs=100,
        batch_size=128,
        learning_rate=0.05,
        optimization=RESNET_SGD,
        augmentation=CIFAR_AUGMENTATION,
        model=vgg.for_32(16),
    ),
    "cifar10_vit": ViT(
        name="vit_cifar10",
        data="cifar10",
        epochs=100,
        batch_size=128,
        learning_rate=1e-3,
        label_smoothing=0.1,
        optimization=VIT_ADAMW,
        augmentation=dataclasses.replace(CIFAR_AUGMENTATION, randaugment=0.3),
        model=dataclasses.replace(vit.COMPACT, stochastic_depth=0.1),
    ),
    "cifar100": dataclasses.replace(CIFAR10, name="airbench_cifar100", data="cifar100", epochs=16),
    "images": IMAGES,
    "images_resnet50": dataclasses.replace(
        IMAGES,
        name="resnet50_images",
        image_size=224,
        model=resnet.imagenet((3, 4, 6, 3), "bottleneck"),
        augmentation=AugmentationConfig(flip="random", crop_padding=0.125),
    ),
    "images_vgg16": VGG(
        name="vgg16_images",
        data="images",
        image_size=224,
        epochs=40,
        batch_size=64,
        learning_rate=0.01,
        optimization=RESNET_SGD,
        augmentation=AugmentationConfig(flip="random", crop_padding=0.125),
        model=vgg.for_224(16),
    ),
    "images_vit": ViT(
        name="vit_images",
        data="images",
        image_size=224,
        epochs=100,
        batch_size=64,
        learning_rate=1e-3,
        label_smoothing=0.1,
        optimization=VIT_ADAMW,
        augmentation=AugmentationConfig(flip="random", crop_padding=0.125, randaugment=0.3),
        model=dataclasses.replace(vit.TINY, stochastic_depth=0.1),
    ),
    "transfer": Application(
        name="transfer", transfer=TransferConfig(init="MobileNetV2", freeze="features"), **TRANSFER
    ),
    "transfer_keras_hub": Backbone(
        name="transfer_keras_hub", transfer=TransferConfig(init="resnet_18_imagenet", freeze="features"), **TRANSFER
    ),
}
