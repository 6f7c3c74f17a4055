// SPDX-License-Identifier: MIT
#pragma once

// Everything that a first program needs.

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/error.hpp>
#include <peal/fs/file.hpp>
#include <peal/fs/walk.hpp>
#include <peal/net/resolve.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/process/signal.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/async_generator.hpp>
#include <peal/task/generator.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/task.hpp>
#include <peal/time/sleep.hpp>
