//! Nothing is allocated for an event on its way.
#![expect(unsafe_code, reason = "an allocator cannot do without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;

use gateway::{Last, relay};
use sse_io::{Reader, ResponseHead};

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; the counter is const and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn a_longer_reply_takes_no_more_allocations() {
    let allocations = |events: usize| {
        let mut body =
            "event: content_block_delta\ndata: {\"delta\":{\"text\":\"hello\"}}\n\n: ping\n\n"
                .repeat(events);
        body += "data: [DONE]\n\n";
        // As a socket has it: pieces that end anywhere.
        let body = io::BufReader::with_capacity(1000, body.as_bytes());
        let board = gateway::board::Board::new();
        let mut meter = board.stream(std::time::Instant::now());
        let emitter = ResponseHead::new()
            .start(io::sink())
            .expect("a sink takes all");
        let before = CALLS.get();
        let last = relay(&mut Reader::new(body), &emitter, |event| {
            // The board publishes its numbers now and then, which is not for an event.
            if event.data == "[DONE]" {
                meter.count(event);
            }
        });
        assert_eq!(last.expect("nothing fails"), Last::Told);
        CALLS.get() - before
    };
    assert_eq!(allocations(20_000), allocations(2_000));
}
