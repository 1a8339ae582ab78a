//! Which node a pod gets: snapshot, filters, scores.
