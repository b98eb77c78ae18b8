"""Shapes that users write: branches, long skips, operations of their own."""

import tf_cosearch as cs
from tf_cosearch.testing import BlockSuite


@cs.block
def inception(ops, x, *, filters, stride=1, activation="relu"):
    """Four branches of which one pools, side by side."""
    part = filters // 4
    a = ops.conv(x, part, 1, stride, activation=activation, name="a")
    b = ops.conv(x, part, 1, activation=activation, name="b1")
    b = ops.conv(b, part, (1, 7), stride, activation=activation, name="b2")
    c = ops.conv(x, part, 1, activation=activation, name="c1")
    c = ops.conv(c, part, (3, 3), activation=activation, name="c2")
    c = ops.conv(c, part, 3, stride, activation=activation, name="c3")
    d = ops.max_pool(x, 3, stride, name="d1")
    rest = filters - 3 * part
    d = ops.conv(d, rest, activation=activation, name="d2")
    return ops.concat([a, b, c, d])


@cs.block
def pooled_inception(ops, x, *, filters, stride=1):
    """Passes its input on through poolings, which keep its scale."""
    a = ops.average_pool(x, 3, stride, name="a")
    b = ops.max_pool(x, 3, stride, name="b")
    y = ops.concat([a, b])
    return ops.conv(y, filters, name="mix")


@cs.block
def u_net(ops, x, *, filters, stride=1, interpolation="nearest"):
    """Down twice and up again, with what was before beside it."""
    x = ops.conv(x, filters, 3, stride, name="enter")
    skips = []
    for level in ("down1", "down2"):
        skips.append(x)
        x = ops.max_pool(x, 2, 2, name=f"{level}_pool")
        x = ops.conv(x, 2 * filters, 3, dilation=2, name=f"{level}_conv")
    for level in ("up1", "up2"):
        x = ops.upsample(x, 2, interpolation, name=f"{level}_upsample")
        x = ops.concat([x, skips.pop()], name=f"{level}_concat")
        x = ops.conv(x, filters, 3, name=f"{level}_conv")
    return x


@cs.block
def blur(ops, x, *, filters, stride=1):
    """What has its input's scale in int8, and is read by a convolution."""
    x = ops.average_pool(x, 2, 2 * stride)
    x = ops.upsample(x, 2, "bilinear")
    return ops.conv(x, filters, name="conv")


@cs.operation
class Ramp(cs.Operation):
    """An operation of a user's package, in its one file."""

    slope: float = 0.1

    def keras(self, build, x, name):
        # The two Kerases name the slope differently.
        return build.keras.layers.LeakyReLU(self.slope, name=build.path(name))(
            x
        )

    def rows(self, record, x, name):
        return record.row(name, "elementwise", [x], x.extents)


@cs.block
def leaky(ops, x, *, filters, stride=1):
    x = ops.conv(x, filters, 3, stride, activation=None, name="conv")
    return ops.ramp(x, slope=0.2)


class TestInception(BlockSuite):
    name = "inception"


class TestPooledInception(BlockSuite):
    name = "pooled_inception"


class TestLeaky(BlockSuite):
    name = "leaky"


class TestBlur(BlockSuite):
    name = "blur"
    image = (8, 8, 3)


class TestUNet(BlockSuite):
    name = "u_net"
    image = (8, 8, 3)


class TestBilinearUNet(TestUNet):
    def networks(self):
        options = (("interpolation", "bilinear"),)
        for shape in self.shapes:
            yield self.network(*shape, options)
