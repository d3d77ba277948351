"""Trains torchvision's ResNet-18 by PyTorch, as benchmarks/training/loop.py asks; a Python that has both runs this.

python benchmarks/training/torch_peer.py CHANNELS SIZE CLIPS CLASSES    then a number of steps in each line of input

It answers each line with the processor seconds of a step. Clips are uint8 in memory, as ours are, and a step does what
ours does: scale, loss, gradients, momentum.
"""

import os
import sys
import time


def main() -> None:
    """Answers requests until there are no more."""
    channels, size, clips, classes = map(int, sys.argv[1:])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import torch
    import torchvision

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=classes)
    network.conv1 = torch.nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    network = network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    pixels = torch.randint(0, 256, (clips, channels, size, size), dtype=torch.uint8)
    pixels = pixels.to(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (clips,))
    for line in sys.stdin:
        began = time.process_time()
        for _ in range(int(line)):
            scaled = pixels.to(torch.float32) / 127.5 - 1
            loss = torch.nn.functional.cross_entropy(network(scaled), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        print((time.process_time() - began) / int(line), flush=True)


if __name__ == "__main__":
    main()
