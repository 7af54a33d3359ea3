"""Averages the weights of networks that were trained from the same start: usually better abroad than any of them."""

import argparse

import torch


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out")
    p.add_argument("checkpoints", nargs="+")
    a = p.parse_args()
    states = [torch.load(c, map_location="cpu") for c in a.checkpoints]
    mean = {}
    for key, value in states[0]["ema"].items():
        if value.dtype.is_floating_point:
            mean[key] = sum(s["ema"][key] for s in states) / len(states)
        else:
            mean[key] = value
    torch.save({"ema": mean, "step": sum(s["step"] for s in states)}, a.out)


if __name__ == "__main__":
    main()
