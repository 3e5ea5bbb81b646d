//! Bytes as somebody might send them who means harm, for everything that decodes.
//!
//! Two kinds. Claims: lengths that are merely announced, in each way in which our formats write
//! one, with nothing or little behind them. And noise, mostly of small bytes, because those are
//! what tags and short lengths look like. All of it is the same every time; fuzzing finds the rest.
//!
//! ```
//! let longest = clustron_testkit::hostile::inputs(100).map(|input| input.len()).max();
//! assert!(longest < Some(1000));
//! ```

/// What every decoder should be given.
pub fn inputs(noise: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(1);
    claims().into_iter().chain((0..noise).map(move |_| random.input()))
}

/// Lengths that are merely claimed, behind beginnings that lead to lists within lists.
fn claims() -> Vec<Vec<u8>> {
    let numbers: [&[u8]; 8] = [
        &[251, 0xff, 0xff],
        &[252, 0xff, 0xff, 0xff, 0x01],
        &[252, 0xff, 0xff, 0xff, 0xff],
        &[253, 0, 0, 0, 0, 0, 0, 0, 0x10],
        &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[254, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xff; 4],
        &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    let mut claims = vec![];
    for number in numbers {
        for fill in 0..4u8 {
            for before in 0..24 {
                let claim = [&vec![fill; before], number].concat();
                claims.push([&claim[..], &[fill; 40]].concat());
                // One claim behind the other.
                claims.push(claim.repeat(4));
                claims.push(claim);
            }
        }
    }
    claims
}

/// The same numbers every time (splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom
/// number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn input(&mut self) -> Vec<u8> {
        let length = self.next() % 200;
        let mut byte = || match self.next() % 4 {
            0 | 1 => (self.next() % 4) as u8,
            2 => (self.next() % 64) as u8,
            _ => self.next() as u8,
        };
        (0..length).map(|_| byte()).collect()
    }
}
