// 1111111111111111111111111111111111111111111111111111111111111111
// line 2

void
emit__Z_VALUES(
    unsigned char *code, unsigned char *data, _PyExecutorObject *executor,
    const _PyUOpInstruction *instruction, jit_state *state)
{
    const unsigned char code_body[119] = {
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
        0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
        0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
        0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
        0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30,
        0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
        0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40,
        0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
        0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50,
        0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x60,
        0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
        0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70,
        0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77,
    };
    memcpy(code, code_body, sizeof(code_body));
    patch_64(code + 0x0, (uintptr_t)code + -0x1);
    patch_64(code + 0x8, (uintptr_t)data);
    patch_64(code + 0x10, instruction->oparg + 0x1);
    patch_64(code + 0x18, instruction->target + -0x1);
    patch_64(code + 0x20, 0x0);
    patch_64(code + 0x28, instruction->operand0 + 0x1);
    patch_64(code + 0x30, (instruction->operand0 >> 32) + -0x1);
    patch_64(code + 0x38, (instruction->operand0 & UINT32_MAX));
    patch_64(code + 0x40, instruction->operand1 + 0x1);
    patch_64(code + 0x48, (instruction->operand1 >> 32) + -0x1);
    patch_64(code + 0x50, (instruction->operand1 & UINT32_MAX));
    patch_64(code + 0x58, (uintptr_t)code + sizeof(code_body) + 0x1);
    patch_64(code + 0x60, (uintptr_t)executor + -0x1);
    patch_64(code + 0x68, state->instruction_starts[instruction->jump_target]);
    patch_64(code + 0x70, state->instruction_starts[instruction->error_target] + 0x1);
}

void
emit__A_FORMS(
    unsigned char *code, unsigned char *data, _PyExecutorObject *executor,
    const _PyUOpInstruction *instruction, jit_state *state)
{
    // 0: nop
    // 1: nop
    const unsigned char code_body[32] = {
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    };
    // 0: 00
    patch_64(data + 0x0, (uintptr_t)code);
    memcpy(code, code_body, sizeof(code_body));
    patch_32r(code + 0x1, (uintptr_t)&_PyFoo);
    patch_32r(code + 0x5, (uintptr_t)data + (uintptr_t)&_PyFoo + -0x8000000000000000);
    patch_64(code + 0x9, 0x0);
    patch_aarch64_trampoline(code + 0x10, 0x0, state);
    patch_aarch64_trampoline(code + 0x10, 0x1f, state);
    patch_aarch64_trampoline(code + 0x10, 0x20, state);
}

void
emit__EMPTY(
    unsigned char *code, unsigned char *data, _PyExecutorObject *executor,
    const _PyUOpInstruction *instruction, jit_state *state)
{
}

void
emit_shim(
    unsigned char *code, unsigned char *data, _PyExecutorObject *executor,
    const _PyUOpInstruction *instruction, jit_state *state)
{
    const unsigned char code_body[1] = {
        0xc3,
    };
    memcpy(code, code_body, sizeof(code_body));
}

static_assert(SYMBOL_MASK_WORDS >= 2, "SYMBOL_MASK_WORDS too small");

typedef struct {
    void (*emit)(
        unsigned char *code, unsigned char *data, _PyExecutorObject *executor,
        const _PyUOpInstruction *instruction, jit_state *state);
    size_t code_size;
    size_t data_size;
    symbol_mask trampoline_mask;
} StencilGroup;

static const StencilGroup shim = {emit_shim, 1, 0, {0}};

static const StencilGroup stencil_groups[MAX_UOP_ID + 1] = {
    [_A_FORMS] = {emit__A_FORMS, 32, 8, {0x80000001, 0x01}},
    [_EMPTY] = {emit__EMPTY, 0, 0, {0}},
    [_Z_VALUES] = {emit__Z_VALUES, 119, 0, {0}},
};

static const void * const symbols_map[33] = {
    [0] = &PySymbol_0,
    [1] = &PySymbol_1,
    [2] = &PySymbol_2,
    [3] = &PySymbol_3,
    [4] = &PySymbol_4,
    [5] = &PySymbol_5,
    [6] = &PySymbol_6,
    [7] = &PySymbol_7,
    [8] = &PySymbol_8,
    [9] = &PySymbol_9,
    [10] = &PySymbol_10,
    [11] = &PySymbol_11,
    [12] = &PySymbol_12,
    [13] = &PySymbol_13,
    [14] = &PySymbol_14,
    [15] = &PySymbol_15,
    [16] = &PySymbol_16,
    [17] = &PySymbol_17,
    [18] = &PySymbol_18,
    [19] = &PySymbol_19,
    [20] = &PySymbol_20,
    [21] = &PySymbol_21,
    [22] = &PySymbol_22,
    [23] = &PySymbol_23,
    [24] = &PySymbol_24,
    [25] = &PySymbol_25,
    [26] = &PySymbol_26,
    [27] = &PySymbol_27,
    [28] = &PySymbol_28,
    [29] = &PySymbol_29,
    [30] = &PySymbol_30,
    [31] = &PySymbol_31,
    [32] = &PySymbol_32,
};
