//! How an input is read: its first line is a plan of what is done, the rest is the stream.
//!
//! A plan is text where it was written by hand: what a byte means goes by its place and by its value
//! modulo a small number, so that digits will do.

/// The sizes that a step chooses from.
const SIZES: [usize; 16] = [
    1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 65, 200, 1460, 9_000, 70_000,
];

/// The limits that a plan chooses from; none for most.
const LIMITS: [usize; 10] = [0, 1, 5, 8, 20, 70, 150, 1_000, 9_000, 20_000];

/// One byte of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(u8);

impl Step {
    /// How many bytes: `'0'` is one, `'?'` is many.
    pub(crate) fn size(self) -> usize {
        SIZES[usize::from(self.0 % 16)]
    }

    /// What else happens, from 0 to 7: digits are 3.
    pub(crate) fn action(self) -> u8 {
        self.0 / 16 % 8
    }
}

/// What the first line says.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    line: &'a [u8],
    next: usize,
}

impl<'a> Plan<'a> {
    /// The plan and the stream after it.
    pub(crate) fn of(input: &'a [u8]) -> (Self, &'a [u8]) {
        let end = input.iter().position(|&byte| byte == b'\n');
        let (line, stream) = match end {
            Some(end) => (&input[..end], &input[end + 1..]),
            None => (&[][..], input),
        };
        (Plan { line, next: 0 }, stream)
    }

    /// The byte of an option, `'0'` where the plan is too short. Options come first.
    pub(crate) fn option(&mut self) -> u8 {
        let byte = self.line.get(self.next).copied().unwrap_or(b'0');
        self.next += 1;
        byte
    }

    /// The limit that an option stands for: `'0'` to `'9'` are limits, anything else is none.
    pub(crate) fn limit(&mut self) -> Option<usize> {
        let option = self.option().checked_sub(b'0')?;
        LIMITS.get(usize::from(option)).copied()
    }

    /// The next step; behind the last one comes the first again.
    pub(crate) fn step(&mut self) -> Step {
        let options = self.line.len().min(OPTIONS);
        let steps = &self.line[options..];
        let step = match steps.len() {
            0 => b'?',
            count => steps[self.next.saturating_sub(OPTIONS) % count],
        };
        self.next = self.next.max(OPTIONS) + 1;
        Step(step)
    }
}

/// How many bytes of a plan are options.
const OPTIONS: usize = 4;
