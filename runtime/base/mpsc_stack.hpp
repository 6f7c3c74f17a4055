// SPDX-License-Identifier: MIT
#pragma once

// mpsc_stack: nodes pushed by any thread, taken all at once, mostly by one. Intrusive: `Next` is the node's own link.
//
// head_   written by all   [M1] push: seq_cst CAS publishes the node; take_all: acquire exchange sees every node it takes.
//                          Push and empty() are seq_cst, because they are halves of the parking protocol (driver.hpp): the pusher then
//                          reads the parking state, the parker writes it and then looks here. What is taken out is no news to
//                          anybody. ABA cannot hurt: nodes leave only all at once.
// Bound: the nodes belong to tasks; as many as these.

#include <peal/detail/atomic.hpp>

namespace peal::rt {

template <class Node, Node* Node::*Next>
class mpsc_stack {
  public:
    /// Any thread.
    void push(Node& node) noexcept { push_chain(node, node); }
    /// Any thread. A chain from `newest` to `oldest`.
    void push_chain(Node& newest, Node& oldest) noexcept {
        Node* head = head_.load(std::memory_order_relaxed);  // a guess: the CAS checks it
        do {
            oldest.*Next = head;
        } while (!head_.compare_exchange_weak(head, &newest, std::memory_order_seq_cst, std::memory_order_relaxed));  // [M1]
    }

    /// Any thread; a hint unless the caller is the taker.
    bool empty() const noexcept { return head_.load(std::memory_order_seq_cst) == nullptr; }  // [M1]

    /// Takers only; several share what there is. Gives the chain, the newest first.
    Node* take_chain() noexcept {
        if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;  // re-checked before parking by empty()
        return head_.exchange(nullptr, std::memory_order_acquire);             // [M1]
    }

    /// The same, in the order of pushing.
    Node* take_all() noexcept {
        Node* newest = take_chain();
        Node* oldest = nullptr;
        while (newest != nullptr) {
            Node* next = newest->*Next;
            newest->*Next = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }

  private:
    detail::atomic<Node*> head_{nullptr};
};

}  // namespace peal::rt
