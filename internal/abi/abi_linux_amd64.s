#include "go_asm.h"
#include "textflag.h"

// call(block *block), in C's convention: it copies the stack words, loads the registers, calls, and keeps the result.
TEXT call<>(SB), NOSPLIT|NOFRAME, $0
	PUSHQ BP
	MOVQ  SP, BP
	PUSHQ BX
	MOVQ  DI, BX

	// The words begin where the stack pointer stands at the call, on a border of 16 bytes.
	MOVQ block_count(BX), CX
	LEAQ (CX*8), AX
	SUBQ AX, SP
	ANDQ $~15, SP
	MOVQ block_words(BX), SI
	MOVQ SP, DI
	CLD
	REP; MOVSQ

	MOVQ (block_registers+0)(BX), DI
	MOVQ (block_registers+8)(BX), SI
	MOVQ (block_registers+16)(BX), DX
	MOVQ (block_registers+24)(BX), CX
	MOVQ (block_registers+32)(BX), R8
	MOVQ (block_registers+40)(BX), R9
	XORL AX, AX // a variadic function: no vector registers
	MOVQ block_fn(BX), R11
	CALL R11

	MOVQ AX, block_result(BX)
	LEAQ -8(BP), SP
	POPQ BX
	POPQ BP
	RET

GLOBL ·callAddress(SB), NOPTR|RODATA, $8
DATA ·callAddress(SB)/8, $call<>(SB)

// A stub, in C's convention: behind the return address lies the struct, whose address becomes the second argument.
#define STUB(name, at) \
TEXT name<>(SB), NOSPLIT|NOFRAME, $0; \
	LEAQ 8(SP), SI; \
	MOVQ ·targets+at(SB), AX; \
	JMP  AX

STUB(stub0, 0)
STUB(stub1, 8)
STUB(stub2, 16)
STUB(stub3, 24)
STUB(stub4, 32)
STUB(stub5, 40)
STUB(stub6, 48)
STUB(stub7, 56)

GLOBL ·stubAddress(SB), NOPTR|RODATA, $64
DATA ·stubAddress+0(SB)/8, $stub0<>(SB)
DATA ·stubAddress+8(SB)/8, $stub1<>(SB)
DATA ·stubAddress+16(SB)/8, $stub2<>(SB)
DATA ·stubAddress+24(SB)/8, $stub3<>(SB)
DATA ·stubAddress+32(SB)/8, $stub4<>(SB)
DATA ·stubAddress+40(SB)/8, $stub5<>(SB)
DATA ·stubAddress+48(SB)/8, $stub6<>(SB)
DATA ·stubAddress+56(SB)/8, $stub7<>(SB)
