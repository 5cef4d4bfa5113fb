//! DynamoKV.
