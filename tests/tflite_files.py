"""Builds .tflite files operator by operator, for the tests of their reader."""

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

WIDTH = 8
CUSTOM = schema.BuiltinOperator.CUSTOM


class Graph:
    """A graph that takes tensors and operators by name.

    Example:
    >>> graph = Graph()
    >>> graph.add("RELU", [graph.tensor([1, 4], name="x")], [[1, 4]])
    1
    """

    def __init__(self, file=None):
        self.file = file or File()
        self.file.graphs.append(self)
        self.tensors, self.operators = [], []
        self.inputs, self.outputs = [], []

    def tensor(self, shape, type="FLOAT32", data=None, **fields):
        """Declares a tensor; `data` are its values."""
        tensor = schema.TensorT()
        tensor.name = fields.pop("name", f"tensor_{len(self.tensors)}")
        tensor.type = getattr(schema.TensorType, type)
        if -1 in shape:
            tensor.shapeSignature = list(shape)
        tensor.shape = [max(1, extent) for extent in shape]
        tensor.buffer = 0
        for name, value in fields.items():
            setattr(tensor, name, value)
        if data is not None:
            tensor.buffer = self.file.buffer(data)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def input(self, shape, type="FLOAT32"):
        self.inputs.append(self.tensor(shape, type))
        return self.inputs[-1]

    def constant(self, data, type=None):
        data = np.asarray(data)
        kind = type or data.dtype.name.upper()
        return self.tensor(list(data.shape), kind, data)

    def weights(self, *shape, type="INT8"):
        return self.constant(np.ones(shape, type.lower()))

    def integers(self, *numbers):
        return self.constant(np.array(numbers, np.int32))

    def add(self, op, inputs, shapes, type="FLOAT32", custom=None, **options):
        """Adds an operator that writes tensors of some shapes."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.file.code(op)
        operator.inputs = list(inputs)
        operator.outputs = [self.tensor(shape, type) for shape in shapes]
        if options:
            kind = options.pop("options")
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            for name, value in options.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        if custom is not None:
            operator.customOptions = list(custom)
        self.operators.append(operator)
        self.outputs = operator.outputs
        return operator.outputs[0] if len(shapes) == 1 else operator.outputs

    def content(self):
        return self.file.content()


class File:
    """The graphs of a file, and what they share."""

    def __init__(self):
        self.graphs, self.codes, self.signatures = [], [], {}
        self.buffers = [schema.BufferT()]

    def buffer(self, data):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def code(self, op):
        if op not in self.codes:
            self.codes.append(op)
        return self.codes.index(op)

    def content(self):
        model = schema.ModelT()
        model.version, model.buffers = 3, self.buffers
        model.operatorCodes = [_code(op) for op in self.codes]
        model.subgraphs = [_subgraph(graph) for graph in self.graphs]
        model.signatureDefs = []
        for key, index in self.signatures.items():
            signature = schema.SignatureDefT()
            signature.signatureKey, signature.subgraphIndex = key, index
            model.signatureDefs.append(signature)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _code(op):
    code = schema.OperatorCodeT()
    code.version = 1
    code.builtinCode = getattr(schema.BuiltinOperator, op, CUSTOM)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    if code.builtinCode == CUSTOM:
        code.customCode = op
    return code


def _subgraph(graph):
    subgraph = schema.SubGraphT()
    subgraph.name = "graph"
    subgraph.tensors, subgraph.operators = graph.tensors, graph.operators
    subgraph.inputs, subgraph.outputs = graph.inputs, graph.outputs
    return subgraph


def loop(start, compare, limit, step, limit_first=False):
    """Multiplies by weights while a counter is compared with a limit."""
    file = File()
    main, condition, body = (Graph(file) for _ in range(3))
    x = main.input([3, WIDTH])
    options = {"options": "WhileOptions"}
    options |= {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}
    main.add("WHILE", [main.integers(start), x], [[1], [3, WIDTH]], **options)
    counter, _ = condition.input([1], "INT32"), condition.input([3, WIDTH])
    sides = [counter, condition.integers(limit)]
    condition.add(compare, sides[::-1] if limit_first else sides, [[1]], "BOOL")
    counter, x = body.input([1], "INT32"), body.input([3, WIDTH])
    y = body.add(
        "FULLY_CONNECTED", [x, body.weights(WIDTH, WIDTH), -1], [[3, WIDTH]]
    )
    op, by = ("ADD", step) if step > 0 else ("SUB", -step)
    counter = body.add(op, [counter, body.integers(by)], [[1]], "INT32")
    body.outputs = [counter, y]
    return file.content()
