"""The run of a query: its preparation, its inputs on the device, its threads, its rows."""
