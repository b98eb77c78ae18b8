"""Which operators of a .tflite file do the same kind of work."""

from __future__ import annotations


def _words(text: str) -> set[str]:
    return set(text.split())


CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
"""Operators that slide a kernel."""
AXES = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}
"""What adds axes of extent 1, or drops them."""
POOLS = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"}
"""Operators that slide a window without weights."""
CLIPS = {"none", "relu", "relu6", "relu_n1_to_1"}
"""Fused activations that cost nothing."""
FREE = AXES | _words("RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 FAKE_QUANT BITCAST")
"""What costs nothing."""
ELEMENTWISE = _words(
    "ADD ADD_N SUB MUL DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_DIV "
    "FLOOR_MOD EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL "
    "LOGICAL_AND LOGICAL_OR LOGICAL_NOT SELECT SELECT_V2 WHERE LOGISTIC TANH "
    "HARD_SWISH GELU ELU LEAKY_RELU PRELU SOFTMAX LOG_SOFTMAX EXP LOG SQRT "
    "RSQRT SQUARE ABS NEG SIGN SIN COS ATAN2 CEIL FLOOR ROUND CAST QUANTIZE "
    "DEQUANTIZE L2_NORMALIZATION LOCAL_RESPONSE_NORMALIZATION CUMSUM "
    "BITWISE_XOR RIGHT_SHIFT REAL IMAG COMPLEX_ABS ONE_HOT BUCKETIZE "
    "FlexErf FlexAtan2 FlexSoftplus"
)
"""One operation an element."""
REDUCTIONS = _words(
    "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL ARG_MAX "
    "ARG_MIN"
)
"""One result of many elements."""
MOVES = _words(
    "CONCATENATION PAD PADV2 MIRROR_PAD RESIZE_BILINEAR DYNAMIC_UPDATE_SLICE "
    "RESIZE_NEAREST_NEIGHBOR SLICE STRIDED_SLICE SPLIT SPLIT_V PACK UNPACK "
    "TRANSPOSE TILE GATHER GATHER_ND BROADCAST_TO REVERSE_V2 DEPTH_TO_SPACE "
    "SPACE_TO_DEPTH SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND REVERSE_SEQUENCE FILL "
    "SCATTER_ND SPARSE_TO_DENSE MATRIX_DIAG MATRIX_SET_DIAG DILATE "
    "EMBEDDING_LOOKUP MaxUnpooling2D FlexTensorListGetItem "
    "FlexTensorListSetItem FlexTensorListStack FlexTensorListFromTensor"
)
"""What only moves elements."""
ON_THE_HOST = _words(
    "TFLite_Detection_PostProcess NON_MAX_SUPPRESSION_V4 "
    "NON_MAX_SUPPRESSION_V5 HASHTABLE_FIND HASHTABLE_SIZE HASHTABLE_LOOKUP"
)
"""What no accelerator does: all that is left to it is to hand over inputs."""
SHAPES_ONLY = {"SHAPE", "RANK", "ZEROS_LIKE"}
"""What reads no values, so that its result is known before an inference."""
COMPILERS = {
    "ethos-u": "Arm's Vela, for an Ethos-U",
    "edgetpu-custom-op": "the Edge TPU compiler",
    "DISPATCH_OP": "a LiteRT compiler plugin, for an NPU",
    "NeutronGraph": "NXP's Neutron converter",
    "vsi-npu": "VeriSilicon's compiler",
    "DELEGATE": "a delegate",
}
"""Operators that stand for what another compiler has made, and which."""
