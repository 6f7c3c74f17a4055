// SPDX-License-Identifier: MIT

// The program of all headers, each included by a source file of its own (header_alone.py). That it links proves that no header defines
// what is not inline.

int main() { return 0; }
