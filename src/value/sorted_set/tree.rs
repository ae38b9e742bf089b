//! An order-statistics B+tree: scored members in ascending order, found by rank.
//!
//! Every branch knows how many members each of its children has, so a rank is resolved to a member,
//! and a position in the order to a rank, in logarithmic time. Other operations are built from these
//! two: a range by score is a range of ranks, an insertion happens at a rank. The tree itself never
//! compares members, so the caller keeps the order.
//!
//! Scores and members of a leaf lie in two arrays: a search by score touches no member unless scores
//! are equal.

use std::ops::Range;

use crate::allocator::size_class;

/// Members of a leaf, so that it takes a kilobyte.
const LEAF: usize = 63;

/// Children of a branch.
const FAN: usize = 32;

/// The tree. The parameters are the most members of a leaf and the most children of a branch.
#[derive(Clone)]
pub struct Tree<M, const L: usize = LEAF, const F: usize = FAN> {
    root: Node<M, L, F>,
    len: usize,
}

#[derive(Clone)]
enum Node<M, const L: usize, const F: usize> {
    Leaf(Box<Leaf<M, L>>),
    Branch(Vec<Child<M, L, F>>),
}

/// A subtree that is not empty.
#[derive(Clone)]
struct Child<M, const L: usize, const F: usize> {
    /// Members of the whole subtree.
    count: usize,
    /// The first of them.
    first: (f64, M),
    node: Node<M, L, F>,
}

/// The first `len` of both arrays are in use.
#[derive(Clone)]
struct Leaf<M, const L: usize> {
    len: usize,
    scores: [f64; L],
    members: [Option<M>; L],
}

/// Where in the whole tree an insertion happens: a node that is filled from one end is left full.
#[derive(Clone, Copy)]
enum Place {
    Start,
    Middle,
    End,
}

impl Place {
    /// How many elements a full node keeps when it is cut in two.
    fn cut(self, least: usize, most: usize) -> usize {
        match self {
            Place::Start => least,
            Place::Middle => (least + most) / 2,
            Place::End => most,
        }
    }
}

impl<M: Clone, const L: usize> Leaf<M, L> {
    fn new() -> Box<Self> {
        Box::new(Leaf { len: 0, scores: [0.0; L], members: [const { None }; L] })
    }

    fn member(&self, at: usize) -> &M {
        self.members[at].as_ref().expect("a leaf's first members are there")
    }

    fn has_room(&self) -> bool {
        self.len < L
    }

    fn push(&mut self, score: f64, member: M) {
        self.insert(self.len, score, member);
    }

    fn insert(&mut self, at: usize, score: f64, member: M) {
        self.scores.copy_within(at..self.len, at + 1);
        self.members[at..=self.len].rotate_right(1);
        self.scores[at] = score;
        self.members[at] = Some(member);
        self.len += 1;
    }

    fn remove(&mut self, range: Range<usize>, mut each: impl FnMut(f64, M)) {
        for at in range.clone() {
            if let Some(member) = self.members[at].take() {
                each(self.scores[at], member);
            }
        }
        self.scores.copy_within(range.end..self.len, range.start);
        self.members[range.start..self.len].rotate_left(range.len());
        self.len -= range.len();
    }

    fn split_off(&mut self, at: usize) -> Box<Self> {
        let mut rest = Leaf::new();
        self.give_last(&mut rest, self.len - at);
        rest
    }

    /// Moves the last `count` members to the front of the next leaf.
    fn give_last(&mut self, next: &mut Self, count: usize) {
        let kept = self.len - count;
        next.scores.copy_within(..next.len, count);
        next.members[..next.len + count].rotate_right(count);
        next.scores[..count].copy_from_slice(&self.scores[kept..self.len]);
        next.members[..count].swap_with_slice(&mut self.members[kept..self.len]);
        self.len = kept;
        next.len += count;
    }

    /// Moves the first `count` members of the next leaf to the end.
    fn take_first(&mut self, next: &mut Self, count: usize) {
        let end = self.len + count;
        self.scores[self.len..end].copy_from_slice(&next.scores[..count]);
        self.members[self.len..end].swap_with_slice(&mut next.members[..count]);
        next.scores.copy_within(count..next.len, 0);
        next.members[..next.len].rotate_left(count);
        self.len = end;
        next.len -= count;
    }

    /// Members before the first that is not `before`.
    #[inline]
    fn partition_point(&self, before: impl Fn(f64, &M) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = (low + high) / 2;
            if before(self.scores[middle], self.member(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// [`Tree::rank`] in this node. All scores are compared: a binary search, whose branches are
    /// mispredicted, takes longer.
    #[inline]
    fn rank(&self, score: f64, before: impl Fn(&M) -> bool) -> usize {
        let scores = &self.scores[..self.len];
        let lower = scores.iter().map(|other| usize::from(*other < score)).sum();
        let equal = scores[lower..].iter().take_while(|other| **other == score).count();
        let is_before = |member: &Option<M>| member.as_ref().is_some_and(&before);
        lower + self.members[lower..lower + equal].partition_point(is_before)
    }
}

impl<M: Clone, const L: usize, const F: usize> Child<M, L, F> {
    fn new(node: Node<M, L, F>) -> Self {
        Child { count: node.count(), first: node.first(), node }
    }

    /// Updates the node's counts: it has so many members now, and another one at a rank.
    fn resized(&mut self, count: usize, rank: usize) {
        self.count = count;
        if rank == 0 {
            self.first = self.node.first();
        }
    }

    /// Updates the node's counts after a change below it.
    fn refresh(&mut self) {
        self.count = self.node.count();
        self.first = self.node.first();
    }
}

impl<M: Clone, const L: usize, const F: usize> Node<M, L, F> {
    /// Members of a leaf, children of a branch.
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len,
            Node::Branch(children) => children.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => L,
            Node::Branch(_) => F,
        }
    }

    /// Members of the whole subtree.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len,
            Node::Branch(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    /// Bytes that the subtree takes.
    fn memory(&self) -> usize {
        match self {
            Node::Leaf(_) => size_class(size_of::<Leaf<M, L>>()),
            Node::Branch(children) => {
                let own = children.capacity() * size_of::<Child<M, L, F>>();
                // The leaves of one branch are all of a size.
                size_class(own)
                    + match &children[0].node {
                        leaf @ Node::Leaf(_) => children.len() * leaf.memory(),
                        Node::Branch(_) => children.iter().map(|child| child.node.memory()).sum(),
                    }
            }
        }
    }

    fn first(&self) -> (f64, M) {
        match self {
            Node::Leaf(leaf) => (leaf.scores[0], leaf.member(0).clone()),
            Node::Branch(children) => children[0].first.clone(),
        }
    }

    /// Inserts at a rank of this subtree. Returns a node that has to become its next sibling.
    fn insert(&mut self, rank: usize, score: f64, member: M, place: Place) -> Option<Self> {
        match self {
            Node::Leaf(leaf) if leaf.has_room() => {
                leaf.insert(rank, score, member);
                None
            }
            Node::Leaf(leaf) => {
                let cut = place.cut(0, L);
                let mut next = leaf.split_off(cut);
                if rank <= cut && leaf.has_room() {
                    leaf.insert(rank, score, member);
                } else {
                    next.insert(rank - cut, score, member);
                }
                Some(Node::Leaf(next))
            }
            Node::Branch(children) => {
                let (mut at, mut inner) = locate_end(children, rank);
                if relieve(children, at) {
                    (at, inner) = locate_end(children, rank);
                }
                let child = &mut children[at];
                match child.node.insert(inner, score, member, place) {
                    Some(next) => {
                        child.refresh();
                        children.insert(at + 1, Child::new(next));
                    }
                    None => child.resized(child.count + 1, inner),
                }
                let last = children.len() - 1;
                (last >= F).then(|| Node::Branch(children.split_off(place.cut(1, last))))
            }
        }
    }

    /// Removes at most `limit` members from a rank of this subtree on, as far as one leaf has them.
    fn remove(&mut self, rank: usize, limit: usize, each: impl FnMut(f64, M)) -> usize {
        match self {
            Node::Leaf(leaf) => {
                let range = rank..leaf.len.min(rank + limit);
                leaf.remove(range.clone(), each);
                range.len()
            }
            Node::Branch(children) => {
                let (at, inner) = locate(children, rank);
                let child = &mut children[at];
                let removed = child.node.remove(inner, limit, each);
                if child.count == removed {
                    children.remove(at);
                } else {
                    child.resized(child.count - removed, inner);
                    mend(children, at);
                }
                removed
            }
        }
    }

    fn set_score(&mut self, rank: usize, score: f64) {
        match self {
            Node::Leaf(leaf) => leaf.scores[rank] = score,
            Node::Branch(children) => {
                let (at, inner) = locate(children, rank);
                children[at].node.set_score(inner, score);
                if inner == 0 {
                    children[at].first.0 = score;
                }
            }
        }
    }

    /// Makes this node and the next one equally long.
    fn balance(&mut self, next: &mut Self) {
        let total = self.len() + next.len();
        self.lengthen(next, total / 2);
    }

    /// Moves elements to or from the next node until there are `len` here.
    fn lengthen(&mut self, next: &mut Self, len: usize) {
        let more = len.checked_sub(self.len());
        match (self, next) {
            (Node::Leaf(leaf), Node::Leaf(next)) => match more {
                Some(more) => leaf.take_first(next, more),
                None => leaf.give_last(next, leaf.len - len),
            },
            (Node::Branch(children), Node::Branch(next)) => match more {
                Some(more) => children.extend(next.drain(..more)),
                None => _ = next.splice(0..0, children.drain(len..)),
            },
            _ => unreachable!("siblings are at the same height"),
        }
    }
}

/// The child that has the member of a rank, and the rank in it.
fn locate<M, const L: usize, const F: usize>(
    children: &[Child<M, L, F>],
    rank: usize,
) -> (usize, usize) {
    let (mut at, mut inner) = (0, rank);
    while inner >= children[at].count {
        inner -= children[at].count;
        at += 1;
    }
    (at, inner)
}

/// As [`locate`], for an insertion: the end of a child comes before the start of the next one.
fn locate_end<M, const L: usize, const F: usize>(
    children: &[Child<M, L, F>],
    rank: usize,
) -> (usize, usize) {
    let (mut at, mut inner) = (0, rank);
    while inner > children[at].count {
        inner -= children[at].count;
        at += 1;
    }
    (at, inner)
}

/// Where a leaf is full and a neighbour has room, moves members there: leaves that are split only
/// when their neighbours are full too waste less.
fn relieve<M: Clone, const L: usize, const F: usize>(
    children: &mut [Child<M, L, F>],
    at: usize,
) -> bool {
    // The least number of free places for which members are moved.
    let worthwhile = (L / 8).max(1);
    let has_room = |child: &Child<M, L, F>| child.count + worthwhile <= L;
    if !matches!(&children[at].node, Node::Leaf(leaf) if !leaf.has_room()) {
        return false;
    }
    let left = if at > 0 && has_room(&children[at - 1]) {
        at - 1
    } else if children.get(at + 1).is_some_and(has_room) {
        at
    } else {
        return false;
    };
    let (left, right) = pair(children, left);
    left.node.balance(&mut right.node);
    left.refresh();
    right.refresh();
    true
}

/// After a removal from a child: unites it with a neighbour if it has become short.
fn mend<M: Clone, const L: usize, const F: usize>(children: &mut Vec<Child<M, L, F>>, at: usize) {
    let (len, capacity) = (children[at].node.len(), children[at].node.capacity());
    if len >= capacity.div_ceil(4) || children.len() == 1 {
        return;
    }
    let at = at.saturating_sub(1);
    let (left, right) = pair(children, at);
    let total = left.node.len() + right.node.len();
    if total <= capacity {
        left.node.lengthen(&mut right.node, total);
        left.refresh();
        children.remove(at + 1);
    } else {
        left.node.balance(&mut right.node);
        left.refresh();
        right.refresh();
    }
}

/// A child and the next one.
fn pair<T>(children: &mut [T], at: usize) -> (&mut T, &mut T) {
    let (left, right) = children.split_at_mut(at + 1);
    (&mut left[at], &mut right[0])
}

impl<M: Clone, const L: usize, const F: usize> Default for Tree<M, L, F> {
    fn default() -> Self {
        Tree { root: Node::Leaf(Leaf::new()), len: 0 }
    }
}

impl<M: Clone, const L: usize, const F: usize> Tree<M, L, F> {
    /// A tree of members that come in order. Its nodes are full.
    pub fn from_sorted(members: impl IntoIterator<Item = (f64, M)>) -> Self {
        let mut nodes = Vec::new();
        let mut leaf = Leaf::new();
        for (score, member) in members {
            if !leaf.has_room() {
                nodes.push(Node::Leaf(std::mem::replace(&mut leaf, Leaf::new())));
            }
            leaf.push(score, member);
        }
        if leaf.len > 0 || nodes.is_empty() {
            nodes.push(Node::Leaf(leaf));
        }
        while nodes.len() > 1 {
            let mut children = nodes.into_iter().map(Child::new);
            nodes = Vec::new();
            while children.len() > 0 {
                nodes.push(Node::Branch(children.by_ref().take(F).collect()));
            }
        }
        let root = nodes.pop().expect("there is one leaf at least");
        Tree { len: root.count(), root }
    }

    /// About how many allocations the tree has.
    pub fn allocations(&self) -> usize {
        self.len.div_ceil(L / 2) + self.len / (L / 2 * F / 2)
    }

    /// Bytes that the tree takes.
    pub fn memory(&self) -> usize {
        self.root.memory()
    }

    /// Members before the first that is not `before`, which must be true of some first ones and of no
    /// others.
    #[inline]
    pub fn partition_point(&self, before: impl Fn(f64, &M) -> bool) -> usize {
        let mut rank = 0;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.partition_point(before),
                Node::Branch(children) => {
                    let is_before = |child: &Child<M, L, F>| before(child.first.0, &child.first.1);
                    let at = children.partition_point(is_before).saturating_sub(1);
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The rank that a member with a score has or would have. `before` says which of those with the
    /// same score come before it.
    pub fn rank(&self, score: f64, before: impl Fn(&M) -> bool) -> usize {
        let mut rank = 0;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.rank(score, before),
                Node::Branch(children) => {
                    let lower =
                        children.iter().map(|child| usize::from(child.first.0 < score)).sum();
                    let is_before =
                        |child: &Child<M, L, F>| child.first.0 == score && before(&child.first.1);
                    let at = lower + children[lower..].partition_point(is_before);
                    let at = at.saturating_sub(1);
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The leaf with the member of that rank, which must be there, and the member's place in it.
    fn leaf(&self, rank: usize) -> (&Leaf<M, L>, usize) {
        let mut rank = rank;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf, rank),
                Node::Branch(children) => {
                    let (at, inner) = locate(children, rank);
                    (node, rank) = (&children[at].node, inner);
                }
            }
        }
    }

    /// The member of that rank, with its score.
    pub fn get(&self, rank: usize) -> Option<(f64, &M)> {
        (rank < self.len).then(|| {
            let (leaf, at) = self.leaf(rank);
            (leaf.scores[at], leaf.member(at))
        })
    }

    /// The members before and behind that of a rank, which must be there.
    #[inline]
    pub fn neighbours(&self, rank: usize) -> [Option<(f64, &M)>; 2] {
        let (leaf, at) = self.leaf(rank);
        if at > 0 && at + 1 < leaf.len {
            return [at - 1, at + 1].map(|at| Some((leaf.scores[at], leaf.member(at))));
        }
        [rank.checked_sub(1).and_then(|rank| self.get(rank)), self.get(rank + 1)]
    }

    /// Inserts a member that will have that rank.
    ///
    /// # Panics
    /// If there are not so many before it.
    pub fn insert(&mut self, rank: usize, score: f64, member: M) {
        assert!(rank <= self.len);
        let place = match rank {
            rank if rank == self.len => Place::End,
            0 => Place::Start,
            _ => Place::Middle,
        };
        if let Some(next) = self.root.insert(rank, score, member, place) {
            let root = std::mem::replace(&mut self.root, Node::Branch(Vec::with_capacity(2)));
            if let Node::Branch(children) = &mut self.root {
                children.extend([Child::new(root), Child::new(next)]);
            }
        }
        self.len += 1;
    }

    /// Removes at most `limit` members from a rank on, as many as one leaf has. Returns how many.
    ///
    /// # Panics
    /// If there is no member of that rank.
    pub fn remove(&mut self, rank: usize, limit: usize, each: impl FnMut(f64, M)) -> usize {
        assert!(rank < self.len);
        let removed = self.root.remove(rank, limit, each);
        self.len -= removed;
        while let Node::Branch(children) = &mut self.root
            && children.len() <= 1
        {
            self.root = children.pop().map_or_else(|| Node::Leaf(Leaf::new()), |child| child.node);
        }
        removed
    }

    /// Changes the score of the member of a rank, which must keep its rank.
    ///
    /// # Panics
    /// If there is no member of that rank.
    pub fn set_score(&mut self, rank: usize, score: f64) {
        assert!(rank < self.len);
        self.root.set_score(rank, score);
    }

    /// The members of these ranks, in ascending order, from both sides.
    ///
    /// # Panics
    /// If they are not all there.
    pub fn iter(&self, ranks: Range<usize>) -> Iter<'_, M, L, F> {
        assert!(ranks.start <= ranks.end && ranks.end <= self.len);
        Iter { tree: self, ranks, front: (&[], &[]), back: (&[], &[]) }
    }
}

/// [`Tree::iter`].
pub struct Iter<'a, M, const L: usize = LEAF, const F: usize = FAN> {
    tree: &'a Tree<M, L, F>,
    /// The ranks that are still to be returned.
    ranks: Range<usize>,
    /// The members of a leaf from the first of these ranks on.
    front: (&'a [f64], &'a [Option<M>]),
    /// The members of a leaf up to the last of these ranks.
    back: (&'a [f64], &'a [Option<M>]),
}

impl<'a, M: Clone, const L: usize, const F: usize> Iterator for Iter<'a, M, L, F> {
    type Item = (f64, &'a M);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.front.0.is_empty() {
            let (leaf, at) = self.tree.leaf(self.ranks.start);
            self.front = (&leaf.scores[at..leaf.len], &leaf.members[at..leaf.len]);
        }
        self.ranks.start += 1;
        let score = self.front.0.split_off_first()?;
        let member = self.front.1.split_off_first()?;
        Some((*score, member.as_ref()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ranks.len(), Some(self.ranks.len()))
    }
}

impl<M: Clone, const L: usize, const F: usize> DoubleEndedIterator for Iter<'_, M, L, F> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.back.0.is_empty() {
            let (leaf, at) = self.tree.leaf(self.ranks.end - 1);
            self.back = (&leaf.scores[..=at], &leaf.members[..=at]);
        }
        self.ranks.end -= 1;
        let score = self.back.0.split_off_last()?;
        let member = self.back.1.split_off_last()?;
        Some((*score, member.as_ref()?))
    }
}

impl<M: Clone, const L: usize, const F: usize> ExactSizeIterator for Iter<'_, M, L, F> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Small = Tree<u32, 4, 4>;

    /// Checks what every node promises; returns its members.
    fn members(node: &Node<u32, 4, 4>) -> Vec<(f64, u32)> {
        match node {
            Node::Leaf(leaf) => {
                assert!(leaf.members[leaf.len..].iter().all(Option::is_none));
                (0..leaf.len).map(|at| (leaf.scores[at], *leaf.member(at))).collect()
            }
            Node::Branch(children) => {
                assert!((1..=4).contains(&children.len()));
                let mut all = Vec::new();
                for child in children {
                    let members = members(&child.node);
                    assert_eq!((child.count, child.first), (members.len(), members[0]));
                    all.extend(members);
                }
                all
            }
        }
    }

    fn height(node: &Node<u32, 4, 4>) -> usize {
        match node {
            Node::Leaf(_) => 0,
            Node::Branch(children) => {
                let height = height(&children[0].node);
                assert!(children.iter().all(|child| self::height(&child.node) == height));
                height + 1
            }
        }
    }

    fn check(tree: &Small, model: &[(f64, u32)]) {
        height(&tree.root);
        assert_eq!(members(&tree.root), model);
        assert_eq!(tree.len, model.len());
        let found = (0..model.len()).map(|rank| tree.get(rank).map(|(s, m)| (s, *m)));
        assert!(found.eq(model.iter().copied().map(Some)));
        assert_eq!(tree.get(model.len()), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i8, u32),
        Ascend(u8),
        Descend(u8),
        Remove(usize, usize),
        Raise(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<i8>(), any::<u32>()).prop_map(|(score, member)| Step::Insert(score, member)),
            1 => (0u8..20).prop_map(Step::Ascend),
            1 => (0u8..20).prop_map(Step::Descend),
            2 => (any::<usize>(), 1usize..12).prop_map(|(at, count)| Step::Remove(at, count)),
            1 => any::<usize>().prop_map(Step::Raise),
        ]
    }

    proptest! {
        #[test]
        fn the_tree_is_a_sorted_vector(steps in prop::collection::vec(step(), 1..120)) {
            let mut tree = Small::default();
            let mut model: Vec<(f64, u32)> = Vec::new();
            let put = |tree: &mut Small, model: &mut Vec<(f64, u32)>, score: f64, member: u32| {
                let rank = tree.partition_point(|s, m| (s, *m) < (score, member));
                assert_eq!(rank, model.partition_point(|known| *known < (score, member)));
                assert_eq!(rank, tree.rank(score, |known| *known < member));
                if model.get(rank) != Some(&(score, member)) {
                    tree.insert(rank, score, member);
                    model.insert(rank, (score, member));
                }
            };
            for step in steps {
                match step {
                    Step::Insert(score, member) => put(&mut tree, &mut model, score.into(), member),
                    Step::Ascend(count) => {
                        let last = model.last().map_or(0.0, |(score, _)| *score);
                        (0..count).for_each(|n| put(&mut tree, &mut model, last + f64::from(n), 7));
                    }
                    Step::Descend(count) => {
                        let first = model.first().map_or(0.0, |(score, _)| *score);
                        (0..count).for_each(|n| put(&mut tree, &mut model, first - f64::from(n), 7));
                    }
                    Step::Remove(at, count) if !model.is_empty() => {
                        let at = at % model.len();
                        let mut removed = Vec::new();
                        let count =
                            tree.remove(at, count, |score, member| removed.push((score, member)));
                        prop_assert!(count > 0);
                        prop_assert_eq!(removed, model.drain(at..at + count).collect::<Vec<_>>());
                    }
                    Step::Raise(at) if !model.is_empty() => {
                        let at = at % model.len();
                        let next = model.get(at + 1).map_or(1e9, |(score, _)| *score);
                        let score = (model[at].0 + next) / 2.0;
                        let neighbours = [at.checked_sub(1).map(|at| &model[at]), model.get(at + 1)];
                        let found = tree.neighbours(at).map(|it| it.map(|(score, it)| (score, *it)));
                        prop_assert_eq!(found, neighbours.map(|it| it.copied()));
                        tree.set_score(at, score);
                        model[at].0 = score;
                    }
                    Step::Remove(..) | Step::Raise(_) => {}
                }
                check(&tree, &model);
            }
            check(&Small::from_sorted(model.iter().copied()), &model);
            check(&tree.clone(), &model);
        }

        #[test]
        fn an_iterator_goes_both_ways(len in 0usize..100, ends in prop::collection::vec(any::<bool>(), 100), a in 0usize..100, b in 0usize..100) {
            let model = (0..len as u32).map(|n| (f64::from(n / 3), n)).collect::<Vec<_>>();
            let tree = Small::from_sorted(model.iter().copied());
            let ranks = a.min(b).min(len)..a.max(b).min(len);
            let mut expected = model[ranks.clone()].iter();
            let mut found = tree.iter(ranks);
            for is_front in ends {
                let (found, expected) = if is_front {
                    (found.next(), expected.next())
                } else {
                    (found.next_back(), expected.next_back())
                };
                prop_assert_eq!(found.map(|(score, member)| (score, *member)), expected.copied());
            }
        }
    }

    #[test]
    fn nodes_filled_from_one_end_are_full() {
        for descending in [false, true] {
            let mut tree = Small::default();
            for n in 0..1000 {
                let rank = if descending { 0 } else { n };
                tree.insert(rank, if descending { -(n as f64) } else { n as f64 }, 0);
            }
            fn leaves(node: &Node<u32, 4, 4>) -> usize {
                match node {
                    Node::Leaf(_) => 1,
                    Node::Branch(children) => children.iter().map(|c| leaves(&c.node)).sum(),
                }
            }
            assert!(leaves(&tree.root) <= 251, "{}", leaves(&tree.root));
        }
    }
}
