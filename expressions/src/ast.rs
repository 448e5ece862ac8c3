//! The tree of an expression, macros expanded.
//!
//! Nodes lie in one list and refer to each other by position, so that a deep tree is dropped without recursion and what is
//! found out about a node stands in a list beside it. A macro may use one node twice: the tree is a graph without cycles.

use smol_str::SmolStr;

/// Position of a node in its [`Ast`].
pub type NodeId = u32;

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.0`
    Double(f64),
    /// `'a'`
    String(SmolStr),
    /// `b'a'`
    Bytes(Box<[u8]>),
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A literal.
    Literal(Literal),
    /// A variable, or the name of a type.
    Ident(SmolStr),
    /// `operand.field`, or `has(operand.field)`.
    Select {
        /// What the field is taken of.
        operand: NodeId,
        /// Its name.
        field: SmolStr,
        /// Whether only its presence is asked for.
        test: bool,
    },
    /// A function, an operator (`_+_`) or a member function.
    Call {
        /// Its name.
        function: SmolStr,
        /// What a member function is called on.
        target: Option<NodeId>,
        /// The arguments.
        args: Vec<NodeId>,
    },
    /// `[a, ?b]`
    List {
        /// The items.
        items: Vec<NodeId>,
        /// Which of them are optional.
        optional: Vec<bool>,
    },
    /// `{a: b, ?c: d}`: key, value, whether it is optional.
    Map(Vec<(NodeId, NodeId, bool)>),
    /// `Name{field: value, ?field: value}`: name, value, whether it is optional, where it stands.
    Struct(SmolStr, Vec<(SmolStr, NodeId, bool, u32)>),
    /// What `all`, `map` and the like become.
    Fold(Box<Fold>),
}

/// A loop: `accumulator` starts as `init`, becomes `step` for each element of `range` while `condition` holds, and `result`
/// is computed of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// A list or map.
    pub range: NodeId,
    /// The element of a list; the key of a map. With a second variable, the index of a list.
    pub variable: SmolStr,
    /// The element of a list, the value of a map.
    pub second: Option<SmolStr>,
    /// The accumulator's name.
    pub accumulator: SmolStr,
    /// Its first value.
    pub init: NodeId,
    /// Whether to go on.
    pub condition: NodeId,
    /// Its next value.
    pub step: NodeId,
    /// The value of the whole.
    pub result: NodeId,
}

/// The accumulator of the macros. No text can name it.
pub const ACCUMULATOR: &str = "@result";
/// The variable of loops that only bind the accumulator.
pub const UNUSED: &str = "#unused";

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands, in characters.
    pub at: u32,
    /// How deep the tree below it is.
    pub depth: u16,
}

/// The tree.
#[derive(Clone, Debug, Default)]
pub struct Ast {
    nodes: Vec<Node>,
    /// The whole expression.
    pub root: NodeId,
}

impl Ast {
    /// One of its nodes.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// What a node is.
    pub fn kind(&self, id: NodeId) -> &Kind {
        &self.nodes[id as usize].kind
    }

    pub(crate) fn kind_mut(&mut self, id: NodeId) -> &mut Kind {
        &mut self.nodes[id as usize].kind
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Every node with its position.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        (0..).zip(&self.nodes)
    }

    pub(crate) fn add(&mut self, kind: Kind, at: u32) -> NodeId {
        let below = kind.children().map(|child| self.node(child).depth).max().unwrap_or(0);
        self.nodes.push(Node { kind, at, depth: below.saturating_add(1) });
        self.nodes.len() as NodeId - 1
    }

    /// `a.b.c` for a chain of names.
    pub(crate) fn qualified_name(&self, id: NodeId) -> Option<String> {
        match self.kind(id) {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test: false } => {
                let mut name = self.qualified_name(*operand)?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }
}

impl Kind {
    /// The nodes directly below.
    pub fn children(&self) -> Box<dyn Iterator<Item = NodeId> + '_> {
        match self {
            Kind::Literal(_) | Kind::Ident(_) => Box::new(std::iter::empty()),
            Kind::Select { operand, .. } => Box::new(std::iter::once(*operand)),
            Kind::Call { target, args, .. } => Box::new(target.iter().chain(args).copied()),
            Kind::List { items, .. } => Box::new(items.iter().copied()),
            Kind::Map(entries) => Box::new(entries.iter().flat_map(|(key, value, _)| [*key, *value])),
            Kind::Struct(_, fields) => Box::new(fields.iter().map(|(_, value, ..)| *value)),
            Kind::Fold(fold) => Box::new([fold.range, fold.init, fold.condition, fold.step, fold.result].into_iter()),
        }
    }
}
