//! Cells of the grid: an area is halved by longitude and by latitude, repeatedly; each step adds two
//! bits to a cell's number.

use std::ops::Range;

use super::{Area, INDEXED, Position};

/// Steps of a score's cell.
pub const FINEST: u32 = 26;

/// A cell of the indexed area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Of the latitude in the even bits, of the longitude in the odd ones.
    pub bits: u64,
    /// The number of steps.
    pub step: u32,
}

/// Spreads bits to the even places.
fn spread(bits: u32) -> u64 {
    let mut bits = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Collects the bits at the even places.
fn collect(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

/// The number of the position's cell, where an area is divided `step` times. The area's eastern and
/// northern edges are beyond its last cells.
pub fn encode(position: Position, area: Area, step: u32) -> u64 {
    let cells = (1u64 << step) as f64;
    let index = |at: f64, from: f64, to: f64| ((at - from) / (to - from) * cells) as u32;
    let latitude = index(position.latitude, area.south, area.north);
    let longitude = index(position.longitude, area.west, area.east);
    spread(latitude) | spread(longitude) << 1
}

impl Cell {
    /// The cell of a position.
    pub fn of(position: Position, step: u32) -> Cell {
        Cell { bits: encode(position, INDEXED, step), step }
    }

    pub fn area(self) -> Area {
        let cells = (1u64 << self.step) as f64;
        let edges = |index: u32, from: f64, to: f64| {
            let edge = |index: f64| from + index / cells * (to - from);
            (edge(f64::from(index)), edge(f64::from(index) + 1.0))
        };
        let (south, north) = edges(collect(self.bits), INDEXED.south, INDEXED.north);
        let (west, east) = edges(collect(self.bits >> 1), INDEXED.west, INDEXED.east);
        Area { west, east, south, north }
    }

    /// The middle of the cell, at most the edge of the indexed area.
    pub fn middle(self) -> Position {
        let Area { west, east, south, north } = self.area();
        Position {
            longitude: ((west + east) / 2.0).clamp(INDEXED.west, INDEXED.east),
            latitude: ((south + north) / 2.0).clamp(INDEXED.south, INDEXED.north),
        }
    }

    /// The cell so many columns to the east and so many rows to the north, around the earth.
    pub fn neighbor(self, east: i32, north: i32) -> Cell {
        let moved = |index: u32, by: i32| match by {
            0 => index,
            by => index.wrapping_add_signed(by) & ((1 << self.step) - 1),
        };
        let latitude = moved(collect(self.bits), north);
        let longitude = moved(collect(self.bits >> 1), east);
        Cell { bits: spread(latitude) | spread(longitude) << 1, step: self.step }
    }

    /// The scores of the positions in the cell; the end is not one of them.
    pub fn scores(self) -> Range<f64> {
        let shift = 2 * (FINEST - self.step);
        (self.bits << shift) as f64..((self.bits + 1) << shift) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_spread_and_collected() {
        for bits in [0, 1, 0xffff_ffff, 0x1234_5678, 0x8000_0001] {
            assert_eq!(collect(spread(bits)), bits);
            assert_eq!(collect(spread(bits) << 1), 0);
        }
        assert_eq!(spread(0b1011), 0b100_0101);
    }

    #[test]
    fn a_position_is_in_its_cell_and_beside_its_neighbors() {
        let position = Position { longitude: -71.3, latitude: 42.1 };
        for step in 1..=FINEST {
            let cell = Cell::of(position, step);
            assert!(cell.area().contains(position), "step {step}");
            assert!(cell.scores().contains(&position.score()));
            let (east, north) = (cell.neighbor(1, 0).area(), cell.neighbor(0, 1).area());
            if step > 2 {
                assert_eq!((east.west, north.south), (cell.area().east, cell.area().north));
            }
            assert_eq!(cell.neighbor(1, 1).neighbor(-1, -1), cell);
        }
    }
}
