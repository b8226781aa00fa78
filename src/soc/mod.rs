//! The judgement of the security operations centre: what is an alert, what belongs together, what to do and who may say so.
//! **Pure**: state machines that take the time as an argument.
