// SPDX-License-Identifier: MIT
#pragma once

// Everything that a first program needs.

#include <peal/combine/drain.hpp>
#include <peal/combine/retry.hpp>
#include <peal/combine/select.hpp>
#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/error.hpp>
#include <peal/fs/file.hpp>
#include <peal/fs/walk.hpp>
#include <peal/net/resolve.hpp>
#include <peal/net/serve.hpp>
#include <peal/net/tcp.hpp>
#include <peal/net/udp.hpp>
#include <peal/net/unix.hpp>
#include <peal/parallel/fork_join.hpp>
#include <peal/parallel/join.hpp>
#include <peal/parallel/parallel_for.hpp>
#include <peal/parallel/parallel_reduce.hpp>
#include <peal/pool/pool.hpp>
#include <peal/process/signal.hpp>
#include <peal/sync/barrier.hpp>
#include <peal/sync/broadcast.hpp>
#include <peal/sync/channel.hpp>
#include <peal/sync/condition_variable.hpp>
#include <peal/sync/event.hpp>
#include <peal/sync/lazy.hpp>
#include <peal/sync/mutex.hpp>
#include <peal/sync/oneshot.hpp>
#include <peal/sync/semaphore.hpp>
#include <peal/sync/shared_mutex.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/async_generator.hpp>
#include <peal/task/blocking.hpp>
#include <peal/task/generator.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/share.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/stop_token.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/task.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>
