// SPDX-License-Identifier: MIT
#pragma once

// File names as text: in the lines that sha256sum reads, and in messages. Names are bytes, everything but '/'
// and zero may be in them. Nothing of peal is shown here.

#include <string>
#include <string_view>

namespace examples {

/// The line that `sha256sum -c` accepts. A name with a newline, a carriage return or a backslash has these
/// written as \n, \r and \\, and a backslash before the digest says so.
inline void append_digest_line(std::string& lines, std::string_view digest, std::string_view path) {
    bool escaped = path.find_first_of("\n\r\\") != std::string_view::npos;
    if (escaped) lines += '\\';
    lines += digest;
    lines += "  ";
    if (!escaped) {
        lines += path;
    } else {
        for (char c : path) {
            switch (c) {
                case '\n':
                    lines += "\\n";
                    break;
                case '\r':
                    lines += "\\r";
                    break;
                case '\\':
                    lines += "\\\\";
                    break;
                default:
                    lines += c;
            }
        }
    }
    lines += '\n';
}

/// One line about a file, for people. Control characters appear as \033: a name must not move the cursor of a
/// terminal.
inline void append_message(std::string& messages, std::string_view path, std::string_view what) {
    messages += "tree_digest: ";
    for (char c : path) {
        auto code = static_cast<unsigned char>(c);
        if (code >= 0x20 && code != 0x7f) {
            messages += c;
        } else {
            messages += '\\';
            for (int shift : {6, 3, 0}) messages += static_cast<char>('0' + (code >> shift & 7));
        }
    }
    messages += ": ";
    messages += what;
    messages += '\n';
}

}  // namespace examples
