// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.0;

/// An oracle that anybody may set: loan wei per collateral wei, times 1e36.
contract MorphoOracle {
    uint256 public price;

    function set(uint256 price_) external {
        price = price_;
    }
}
