"""Faults planted in .tflite files, for the tests of the numeric debugger."""

import copy

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema


class Patient:
    """A file that is changed in place.

    Attributes:
        graph: Its first subgraph, as the schema's objects.
    """

    def __init__(self, content):
        self.model = schema.ModelT.InitFromPackedBuf(content)
        self.graph = self.model.subgraphs[0]

    def content(self):
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def operators(self, kind):
        """Operators of a kind, in order."""
        code = getattr(schema.BuiltinOperator, kind)
        codes = [each.builtinCode for each in self.model.operatorCodes]
        return [
            operator
            for operator in self.graph.operators
            if codes[operator.opcodeIndex] == code
        ]

    def output(self, operator):
        return self.graph.tensors[operator.outputs[0]]

    def tensor(self, operator, place):
        return self.graph.tensors[operator.inputs[place]]

    def numbers(self, tensor, dtype=np.int8):
        data = self.model.buffers[tensor.buffer].data
        return np.array(data, np.uint8).view(dtype).reshape(tensor.shape)

    def store(self, tensor, numbers):
        data = np.ascontiguousarray(numbers).tobytes()
        self.model.buffers[tensor.buffer].data = np.frombuffer(data, np.uint8)


def scale_output(content, kind, number, factor):
    """States another scale for what an operator puts out."""
    patient = Patient(content)
    quantization = patient.output(patient.operators(kind)[number]).quantization
    quantization.scale = np.float32(quantization.scale) * np.float32(factor)
    return patient.content()


def scale_weights(content, kind, number, factor, channel=None):
    """States another scale for weights, or for those of one channel."""
    patient = Patient(content)
    weights = patient.tensor(patient.operators(kind)[number], 1)
    scale = np.float32(weights.quantization.scale).copy()
    scale[slice(None) if channel is None else channel] *= factor
    weights.quantization.scale = scale
    return patient.content()


def shift_bias(content, kind, number, channel, factor):
    """Adds to the bias of a channel, in multiples of the largest bias."""
    patient = Patient(content)
    bias = patient.tensor(patient.operators(kind)[number], 2)
    numbers = patient.numbers(bias, np.int32).copy()
    numbers[channel] += int(factor * max(1, np.abs(numbers).max()))
    patient.store(bias, numbers)
    return patient.content()


def zero_channel(content, kind, number, channel):
    """Loses the weights of an output channel."""
    patient = Patient(content)
    weights = patient.tensor(patient.operators(kind)[number], 1)
    numbers = patient.numbers(weights).copy()
    axis = -1 if kind == "DEPTHWISE_CONV_2D" else 0
    np.moveaxis(numbers, axis, 0)[channel] = 0
    patient.store(weights, numbers)
    return patient.content()


def unfuse(content, number):
    """Makes the activation of a convolution an operator of its own."""
    patient = Patient(content)
    convolution = patient.operators("CONV_2D")[number]
    convolution.builtinOptions.fusedActivationFunction = 0
    before = copy.copy(patient.output(convolution))
    before.name = "before"
    patient.graph.tensors.append(before)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 2  # which has integers
    patient.model.operatorCodes.append(code)
    relu = schema.OperatorT()
    relu.opcodeIndex = len(patient.model.operatorCodes) - 1
    relu.inputs = [len(patient.graph.tensors) - 1]
    relu.outputs = list(convolution.outputs)
    convolution.outputs = list(relu.inputs)
    # Operators compare by value, so their places are looked for by identity.
    places = [each is convolution for each in patient.graph.operators]
    patient.graph.operators.insert(places.index(True) + 1, relu)
    return patient.content()


def swap(content, first, second):
    """Lets two operators run in the other order."""
    patient = Patient(content)
    operators = patient.graph.operators
    operators[first], operators[second] = operators[second], operators[first]
    return patient.content()


def one_scale(content, kind, number):
    """Stores weights of all channels in steps of one size."""
    patient = Patient(content)
    weights = patient.tensor(patient.operators(kind)[number], 1)
    scale = np.float32(weights.quantization.scale)
    shape = [1] * len(weights.shape)
    shape[weights.quantization.quantizedDimension] = -1
    largest = scale.max()
    numbers = patient.numbers(weights) * scale.reshape(shape) / largest
    patient.store(weights, np.round(numbers).astype(np.int8))
    weights.quantization.scale = np.full_like(scale, largest)
    bias = patient.tensor(patient.operators(kind)[number], 2)
    steps = patient.numbers(bias, np.int32) * scale / largest
    patient.store(bias, np.round(steps).astype(np.int32))
    bias.quantization.scale = bias.quantization.scale / scale * largest
    return patient.content()


def drop_last(content):
    """Ends the network one operator earlier."""
    patient = Patient(content)
    last = patient.graph.operators.pop()
    patient.graph.outputs = [last.inputs[0]]
    patient.model.signatureDefs = []
    return patient.content()


def rename(content, kind, other):
    """Calls operators of a kind by the name of another."""
    patient = Patient(content)
    for code in patient.model.operatorCodes:
        if code.builtinCode == getattr(schema.BuiltinOperator, kind):
            code.builtinCode = getattr(schema.BuiltinOperator, other)
            code.deprecatedBuiltinCode = code.builtinCode
    return patient.content()
