"""What people look at: records as pictures, sheets and moving boxes."""
