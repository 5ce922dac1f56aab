//! A native task in Rust: how often each word of a UTF-8 text occurs, as lines `count word`, the most frequent first. No crates; Rust 1.63.

use std::collections::HashMap;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};

const ABI: u32 = 1;
const NOT_UTF8: i32 = 1;
const PANICKED: i32 = 2;
/// So many words between two looks at the cancellation.
const STEP: usize = 4096;

/// gammaloop_task.h, version 1. The order is the ABI.
#[repr(C)]
pub struct Task {
    struct_size: usize,
    input: *const u8,
    input_size: usize,
    deadline_ns: u64,
    trace_id: *const c_char,
    is_cancelled: unsafe extern "C" fn(*const Task) -> c_int,
    output: unsafe extern "C" fn(*mut Task, usize) -> *mut u8,
    give_output: unsafe extern "C" fn(*mut Task, *mut c_void, usize, Option<Release>, *mut c_void),
    progress: unsafe extern "C" fn(*mut Task, f64),
    error_message: unsafe extern "C" fn(*mut Task, *const c_char, usize),
    runner: *mut c_void,
}

type Release = unsafe extern "C" fn(*mut c_void, usize, *mut c_void);

impl Task {
    /// Good until the task returns. A SharedArrayBuffer may change meanwhile: who allows that should copy it here.
    fn input<'a>(&self) -> &'a [u8] {
        unsafe { std::slice::from_raw_parts(self.input, self.input_size) }
    }

    fn is_cancelled(&self) -> bool {
        unsafe { (self.is_cancelled)(self) != 0 }
    }

    fn progress(&mut self, done: f64) {
        unsafe { (self.progress)(self, done) }
    }

    fn fail(&mut self, code: i32, text: &str) -> i32 {
        unsafe { (self.error_message)(self, text.as_ptr() as *const c_char, text.len()) }
        code
    }

    /// The vector becomes the result as it is; `release` gets it back.
    fn give(&mut self, mut bytes: Vec<u8>) {
        let (start, size, capacity) = (bytes.as_mut_ptr(), bytes.len(), bytes.capacity());
        std::mem::forget(bytes);
        unsafe { (self.give_output)(self, start as *mut c_void, size, Some(release), capacity as *mut c_void) }
    }
}

unsafe extern "C" fn release(start: *mut c_void, size: usize, capacity: *mut c_void) {
    drop(Vec::from_raw_parts(start as *mut u8, size, capacity as usize));
}

#[no_mangle]
pub extern "C" fn gammaloop_task_abi() -> u32 {
    ABI
}

/// # Safety
/// `task` is the runner's, and nobody else's until this returns.
#[no_mangle]
pub unsafe extern "C" fn count_words(task: *mut Task) -> i32 {
    let task = &mut *task;
    // A panic must not get out of the library.
    catch_unwind(AssertUnwindSafe(|| count(task))).unwrap_or(PANICKED)
}

fn count(task: &mut Task) -> i32 {
    let text = match std::str::from_utf8(task.input()) {
        Ok(text) => text,
        Err(error) => return task.fail(NOT_UTF8, &format!("not UTF-8: {}", error)),
    };
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for (index, word) in text.split_whitespace().enumerate() {
        if index % STEP == 0 {
            if task.is_cancelled() {
                return 0; // nobody waits any more
            }
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            task.progress(at as f64 / text.len() as f64);
        }
        *counts.entry(word).or_insert(0) += 1;
    }
    let mut rows: Vec<(&str, u64)> = counts.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let lines: String = rows.iter().map(|(word, count)| format!("{} {}\n", count, word)).collect();
    task.give(lines.into_bytes());
    0
}
