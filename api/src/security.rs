//! Who calls, and whose tasks they may touch. In come requests; past the guard come only those with a caller, where the document says
//! that one is needed. What a token is made of is not known here.

pub(crate) mod guard;
pub(crate) mod meter;
pub(crate) mod owner;
